"""Results with times of our choice, for what follows from a benchmark."""

from device_bench import Measurement, Result, Setting

HOST = {
    "processor": "a processor",
    "machine": "x86_64",
    "usable_cores": 2,
    "ai-edge-litert": "2.3.0",
}
SETTINGS = {
    "device": "host",
    "mode": "standard",
    "processes": 8,
    "inputs": "random",
    "interrupted": False,
}


def row(name, medians_ms, **changes):
    """A measurement with a process for each median."""
    processes = [
        {
            "import_us": 5e4,
            "load_us": 100.0,
            "allocate_us": 200.0,
            "first_us": 3000 * median,
            "memory": {
                "arena": 50_000,
                "grown": 4_000_000,
                "grown_anonymous": 1_000_000,
                "peak": 50_000_000,
            },
            "windows": [
                {
                    "runs": 100,
                    "seconds": median / 10,
                    "steady": True,
                    "warmup_us": 1e5,
                    "cpu_per_wall": 1.0,
                    "steal": 0.0,
                    "grown_bytes": 0,
                    "frequency_khz": [None, None],
                    "min": 990 * median,
                    "median": 1000 * median,
                    "p90": 1100 * median,
                    "p99": 1200 * median,
                    "samples_us": [1000 * median] * 100,
                }
            ],
        }
        for median in medians_ms
    ]
    given = {
        "setting": Setting(),
        "file_bytes": 100_000,
        "weight_bytes": 90_000,
        "sha256": "0",
        "accuracy": 0.9,
    }
    return Measurement(name, name, processes=processes, **given | changes)


def result(*rows):
    """A benchmark of such rows."""
    return Result(list(rows), dict(SETTINGS), dict(HOST))


def spread(center, count=8):
    """Times a little around the center."""
    return [center * (1 + 0.002 * (number - count / 2)) for number in range(count)]

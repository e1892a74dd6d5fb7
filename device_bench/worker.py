"""One measurement in a fresh process: `python -m device_bench.worker JOB.json`.

Imports only NumPy and LiteRT, so that its memory is that of an app that runs the model. Prints
one line of JSON.
"""

import json
import os
import sys
import time


def main(job: dict) -> dict:
    """Load, warm up and time one model.

    Args:
        job: `model` (path), `inputs` (path of a `.npz` with real values, or None), `seed`,
            `threads`, `cores` (list or None), `warmup_seconds`, `seconds`, `min_runs`,
            `max_runs`.

    Returns:
        Phases and samples in microseconds, memory in bytes.
    """
    if job["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    clock = time.perf_counter_ns
    started = clock()
    from ai_edge_litert.interpreter import Interpreter

    from converters.runner import signature_details

    imported = clock()
    interpreter = Interpreter(model_path=job["model"], num_threads=job["threads"])
    loaded = clock()
    interpreter.allocate_tensors()
    allocated = clock()
    inputs, _ = signature_details(interpreter)
    batches = _batches(job, inputs)

    def run(index: int) -> int:
        for tensor, values in batches[index % len(batches)]:
            interpreter.set_tensor(tensor, values)
        start = clock()
        interpreter.invoke()
        return clock() - start

    first = run(0)
    warmup = _repeat(run, job["warmup_seconds"], 5, job["max_runs"])
    cpu, wall = time.process_time_ns(), clock()
    samples = _repeat(run, job["seconds"], job["min_runs"], job["max_runs"])
    busy = (time.process_time_ns() - cpu) / max(1, clock() - wall)
    return {
        "import_us": (imported - started) / 1e3,
        "load_us": (loaded - imported) / 1e3,
        "allocate_us": (allocated - loaded) / 1e3,
        "first_us": first / 1e3,
        "warmup_runs": len(warmup),
        "warmup_us": sum(warmup) / 1e3,
        "samples_us": [round(n / 1e3, 2) for n in samples],
        "peak_memory_bytes": _peak_memory(),
        "cpu_per_wall": busy,
    }


def _repeat(run, seconds: float, min_runs: int, max_runs: int) -> list[int]:
    samples: list[int] = []
    start = time.perf_counter_ns()
    end, last = start + int(seconds * 1e9), start + int(10e9 + 10 * seconds * 1e9)
    while time.perf_counter_ns() < (last if len(samples) < min_runs else end):
        samples.append(run(len(samples)))
        if len(samples) >= max_runs:
            break
    return samples


def _batches(job: dict, inputs: dict) -> list[list[tuple]]:
    """What is fed: a list of runs, each a list of `(tensor index, values)`."""
    import numpy as np

    from converters.runner import quantize

    if job["inputs"]:
        with np.load(job["inputs"]) as loaded:
            real = {name: loaded[name] for name in loaded.files}
        size = next(iter(inputs.values()))["shape"][0]
        count = max(1, len(next(iter(real.values()))) // size)
        return [
            [
                (detail["index"], quantize(real[name][i * size : (i + 1) * size], detail))
                for name, detail in inputs.items()
            ]
            for i in range(count)
        ]
    generator = np.random.default_rng(job["seed"])
    return [[(d["index"], _random(generator, d)) for d in inputs.values()]]


def _random(generator, detail):
    import numpy as np

    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return generator.random(shape).astype(dtype)
    if dtype.kind == "b":
        return generator.random(shape) < 0.5
    quantized = bool(detail["quantization"][0])
    # An integer that stands for itself may be an index: zero is always a valid one.
    limits = np.iinfo(dtype) if quantized else None
    low, high = (limits.min, limits.max) if limits else (0, 0)
    return generator.integers(low, high, shape, dtype=dtype, endpoint=True)


def _peak_memory() -> int:
    """Largest resident memory of this process in bytes."""
    try:
        # Not getrusage: on Linux its peak includes that of the parent that started us.
        with open("/proc/self/status") as status:
            line = next(line for line in status if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    except (OSError, StopIteration):
        import resource

        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        print(json.dumps(main(json.load(file))))

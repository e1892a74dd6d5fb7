import numpy as np
import pytest

from device_bench.flags import flags
from device_bench.measurement import Measurement
from device_bench.setting import Setting

CALM = {
    "runs": 1000,
    "seconds": 1.0,
    "steady": True,
    "cpu_per_wall": 1.0,
    "steal": 0.0,
    "grown_bytes": 0,
    "frequency_khz": [None, None],
}


def measured(samples, threads=1, **changes):
    """A measurement of processes with such samples, in milliseconds."""
    processes = []
    for values in samples:
        values = 1000 * np.asarray(values, dtype=float)
        window = {"median": np.median(values), "p90": np.percentile(values, 90)}
        window |= {"samples_us": list(values)}
        processes.append({"windows": [CALM | window | changes]})
    setting = Setting(threads=threads)
    return Measurement("m", "m", setting, 1, 1, "", processes=processes)


def noisy(count=8, level=1.0):
    rng = np.random.default_rng(0)
    return [level * rng.normal(1, 0.01, 200) for _ in range(count)]


def test_a_sound_measurement_has_none():
    assert flags(measured(noisy())) == []


@pytest.mark.parametrize(
    ("samples", "text"),
    [
        ([[1.0 + 0.02 * n] * 9 for n in range(8)], "drifts: later processes take 1.08"),
        ([np.linspace(1, 1.3, 100)] * 4, "drifts: later runs take 1.14"),
        (noisy(4) + noisy(4, 1.4), "bimodal: processes take 1 ms or 1.4 ms"),
        ([[1.0] * 170 + [*np.linspace(1, 4, 80)] + [1.0] * 170] * 3, "long tail: p90 is 2.4"),
        ([[1.0, 1.3] * 50] * 3, "bimodal: runs take 1 ms or 1.3 ms"),
        (noisy(level=0.02), "so short that the call itself counts"),
    ],
)
def test_what_the_times_show(samples, text):
    assert any(flag.startswith(text) for flag in flags(measured(samples)))


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steady": False}, "warm-up was never steady"),
        ({"cpu_per_wall": 0.5}, "disturbed: had its processor for 50% of the time"),
        ({"steal": 0.1}, "disturbed: the hypervisor took 10%"),
        ({"grown_bytes": 5_000_000}, "leaks: grew by 5.0 MB in 1000 runs"),
        ({"frequency_khz": [2_000_000, 1_500_000]}, "disturbed: the clock changed by -25%"),
        ({"runs": 4}, "few runs: 4 in a window"),
    ],
)
def test_what_the_machine_shows(changes, text):
    (flag,) = flags(measured(noisy(), **changes))
    assert flag.startswith(text)
    assert flags(measured(noisy(), threads=2, cpu_per_wall=0.5)) == []
    assert flags(measured(noisy(), threads=200))[0].startswith("more threads than the")

"""Measures models on this machine, each in processes of its own."""

from collections.abc import Callable, Mapping

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.temporary import temporary_folder
from device_bench.environment import describe_host
from device_bench.host.jobs import Case, cases
from device_bench.host.plan import Plan
from device_bench.host.rounds import Found, Rounds
from device_bench.measurement import Measurement
from device_bench.modes import Mode
from device_bench.result import Result


def measure_on_host(
    models: Mapping[str, Flatbuffer],
    samples: Mapping[str, Mapping[str, np.ndarray] | None],
    labels: np.ndarray | None,
    plan: Plan,
    on_progress: Callable[[int, int], None],
) -> Result:
    """Check outputs, then time each model in each setting, interleaved.

    Args:
        models: By name.
        samples: For each model its inputs by name; None for random ones.
        labels: Class numbers of the samples, or None.
        plan: How.
        on_progress: Called as `on_progress(done, total)` after each process.

    Raises:
        ValueError: Two rows would have one name, or `keep` is of another benchmark.
    """
    mode, before = plan.mode, describe_host()
    with temporary_folder("bench") as folder:
        rows = cases(models, plan.settings, samples, mode, plan.seed, folder, plan.signature)
        names = [case.name for case in rows]
        if len(set(names)) < len(names):
            raise ValueError(f"`models` have names that settings make alike: {', '.join(names)}")
        rounds = Rounds(rows, plan, before, on_progress)
        rounds.run(samples, labels)
    settings = {
        "device": "host",
        "mode": mode.name,
        "kernels": sorted({setting.kernels for setting in plan.settings}),
        "threads": sorted({setting.threads for setting in plan.settings}),
        "processes": mode.processes,
        "seconds": mode.seconds,
        "seed": plan.seed,
        "signature": plan.signature,
        "inputs": "random" if all(s is None for s in samples.values()) else "real samples",
        "interrupted": rounds.interrupted,
    }
    host = before | {"load_average_after": describe_host()["load_average"]}
    twin = rounds.twin and _measurement(rows[0], rounds.twin, mode)
    found = [_measurement(case, rounds.found[case.name], mode) for case in rows]
    return Result(found, settings, host, twin)


def _measurement(case: Case, found: Found, mode: Mode) -> Measurement:
    return Measurement(
        case.name,
        case.model,
        case.setting,
        case.flatbuffer.size,
        case.flatbuffer.weight_bytes,
        case.flatbuffer.sha256,
        case.samples,
        mode.headline,
        found.processes,
        found.check,
        found.accuracy,
        found.error,
    )

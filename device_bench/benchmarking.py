"""`benchmark`: several models timed side by side, each in fresh processes."""

import json
import os
import random
import tempfile
from collections.abc import Callable, Mapping
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from converters.child import ChildError, run_module
from converters.flatbuffer import Flatbuffer
from converters.samples import Samples
from device_bench.environment import describe_host
from device_bench.result import Measurement, Result

DEVICES = ("host",)
_MIN_RUNS = 30
_MAX_RUNS = 5000
_SAMPLES_FED = 32
# A process that runs this much longer than asked hangs.
_PATIENCE_SECONDS = 120


def benchmark(
    models: Mapping[str, Flatbuffer | str | os.PathLike],
    inputs: Samples | None = None,
    device: str = "host",
    threads: int = 1,
    processes: int = 5,
    seconds: float = 1.0,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
) -> Result:
    """Time models in LiteRT (XNNPACK), side by side.

    Each model runs in `processes` fresh processes, shuffled round by round with the others, so
    that a slow minute of the machine hits all of them. A process is pinned to a core, never
    imports TensorFlow, and measures loading, the first invocation, warm-up and steady runs
    apart. What is timed is `invoke()` alone.

    Example:
        >>> result = benchmark({"float32": "a.tflite", "int8": fb}, inputs=x_test[:32])
        >>> print(result)
        >>> result["int8"].median_ms, result["int8"].median_interval_ms

    Args:
        models: `{name: Flatbuffer or path}`; ratios are against the first.
        inputs: Real samples to feed, `(samples, ...)`, one array per input as a dict by name
            or a sequence. Defaults to `None`: random values.
        device: `"host"`. Defaults to `"host"`.
        threads: Threads of the interpreter. Defaults to `1`.
        processes: Fresh processes per model. Defaults to `5`.
        seconds: Steady time measured in each. Defaults to `1.0`.
        seed: Of the shuffle and of random inputs. Defaults to `0`.
        on_progress: Called as `on_progress(done, total)` after each process.

    Returns:
        A `Result` with a `Measurement` per model; one that fails to run holds the `error`.

    Raises:
        ValueError: No models, an unknown device, a number out of range, a file that is not a
            LiteRT model, unusable inputs.
        FileNotFoundError: A file is missing.

    Source: MLPerf Tiny rules v1.2 (median of windows); Kalibera & Jones 2013, "Rigorous
    benchmarking in reasonable time" (repetition at the level of processes).
    """
    if device not in DEVICES:
        raise ValueError(f"`device` must be one of {DEVICES}. Received: device={device!r}")
    _check_numbers(threads=(threads, 256), processes=(processes, 1000), seconds=(seconds, 3600))
    if not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"`seed` must be a whole number from 0. Received: seed={seed!r}")
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            f"`models` must be a {{name: model}} with at least one. Received: {models!r}"
        )
    flatbuffers = {
        name: m if isinstance(m, Flatbuffer) else Flatbuffer.from_file(m)
        for name, m in models.items()
    }
    for name, flatbuffer in flatbuffers.items():
        _check_readable(name, flatbuffer)
    measurements = {n: Measurement(n, f.size) for n, f in flatbuffers.items()}
    with tempfile.TemporaryDirectory(prefix="edgekit-bench-") as temporary:
        folder = Path(temporary)
        base = {
            "seed": seed,
            "threads": threads,
            "cores": _cores(threads),
            "warmup_seconds": min(0.5, seconds / 2),
            "seconds": seconds,
            "min_runs": _MIN_RUNS,
            "max_runs": _MAX_RUNS,
        }
        jobs = {
            name: _write_job(folder / f"{i}", base, flatbuffer, inputs)
            for i, (name, flatbuffer) in enumerate(flatbuffers.items())
        }
        order = random.Random(seed)
        for done, name in enumerate(_rounds(list(jobs), processes, order)):
            _measure(measurements[name], jobs[name], seconds)
            if on_progress:
                on_progress(done + 1, len(jobs) * processes)
    settings = {
        "device": device,
        "threads": threads,
        "processes": processes,
        "seconds": seconds,
        "seed": seed,
        "inputs": "random" if inputs is None else "real samples",
    }
    return Result(list(measurements.values()), settings, describe_host())


def _rounds(names: list[str], processes: int, order: random.Random) -> list[str]:
    return [name for _ in range(processes) for name in order.sample(names, len(names))]


def _measure(measurement: Measurement, job: Path, seconds: float) -> None:
    if measurement.error:
        return
    try:
        output = run_module(
            "device_bench.worker", str(job), timeout=_PATIENCE_SECONDS + 4 * seconds
        )
    except ChildError as error:
        measurement.error = str(error)
        measurement.processes.clear()
        return
    # LiteRT's own log lines may stand around the worker's.
    line = next(line for line in reversed(output.splitlines()) if line.startswith("{"))
    measurement.processes.append(json.loads(line))


def _write_job(folder: Path, base: dict, flatbuffer: Flatbuffer, inputs) -> Path:
    folder.mkdir()
    (folder / "model.tflite").write_bytes(flatbuffer.content)
    job = {**base, "model": str(folder / "model.tflite"), "inputs": None}
    if inputs is not None:
        arrays = flatbuffer.named_inputs(inputs, "inputs")
        batch = next(iter(flatbuffer.input_shapes.values()))[0]
        fed = batch * max(1, _SAMPLES_FED // batch)
        np.savez(folder / "inputs.npz", **{n: a[:fed] for n, a in arrays.items()})
        job["inputs"] = str(folder / "inputs.npz")
    path = folder / "job.json"
    path.write_text(json.dumps(job))
    return path


def _check_readable(name: str, flatbuffer: Flatbuffer) -> None:
    try:
        flatbuffer.input_shapes  # noqa: B018  reads the whole graph
    except ValueError as error:
        raise ValueError(f"model {name!r}: {error}") from None


def _cores(threads: int) -> list[int] | None:
    """The last cores of those we may use: the first one serves most interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    available = sorted(os.sched_getaffinity(0))
    return available[-threads:] if threads <= len(available) else None


def _check_numbers(**numbers: tuple[float, float]) -> None:
    """`name=(value, largest)`: above 0, at most the largest, whole but for `seconds`."""
    for name, (value, largest) in numbers.items():
        whole = name != "seconds"
        if isinstance(value, bool) or not isinstance(value, Integral if whole else Real):
            kind = "a whole number" if whole else "a number"
            raise ValueError(f"`{name}` must be {kind}. Received: {name}={value!r}")
        if not 0 < value <= largest:
            raise ValueError(f"`{name}` must be above 0 and at most {largest}. Received: {value}")

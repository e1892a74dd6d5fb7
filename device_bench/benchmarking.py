"""`benchmark`: several models measured side by side, on this host or for a device."""

import os
from collections.abc import Callable, Mapping, Sequence
from numbers import Integral, Real
from pathlib import Path

import numpy as np

from converters.as_flatbuffer import as_flatbuffer
from converters.files import place_for_file
from converters.flatbuffer import Flatbuffer
from converters.reader import read_model
from converters.samples import Samples
from device_bench.devices import HOST, MICRO, NPU, PHONE, device_kind
from device_bench.ethos.measuring import measure_npu
from device_bench.ethos.result import NpuResult
from device_bench.host.measuring import measure_on_host
from device_bench.host.plan import Plan
from device_bench.micro.measuring import measure_micro
from device_bench.micro.result import MicroResult
from device_bench.modes import mode_of
from device_bench.phone.measuring import measure_on_phone
from device_bench.phone.result import PhoneResult
from device_bench.result import Result
from device_bench.setting import settings_of

# What is for the host only, with what it is where it is left out; what else devices do not ask.
_OF_HOST = {
    "labels": None,
    "mode": "standard",
    "kernels": "xnnpack",
    "batch": None,
    "runtime": "interpreter",
    "timeout": 120,
    "keep": None,
}
_UNASKED = {
    MICRO: {"threads": 1, "processes": None, "seconds": None},
    NPU: {"inputs": None, "threads": 1, "processes": None, "seconds": None},
    PHONE: {"inputs": None},
}
_LONGEST = 3600


def benchmark(
    models: Mapping[str, object],
    inputs: Samples | None = None,
    device: str = "host",
    threads: int | Sequence[int] = 1,
    processes: int | None = None,
    seconds: float | None = None,
    seed: int = 0,
    on_progress: Callable[[int, int], None] | None = None,
    *,
    labels: Sequence[int] | None = None,
    mode: str = "standard",
    kernels: str | Sequence[str] = "xnnpack",
    batch: int | None | Sequence[int | None] = None,
    runtime: str | Sequence[str] = "interpreter",
    timeout: float = 120,
    keep: str | os.PathLike | None = None,
    binary: str | os.PathLike = "benchmark_model",
    signature: str | None = None,
) -> Result | MicroResult | NpuResult | PhoneResult:
    """Time models in LiteRT, side by side; or ask what they need and take on another device.

    Each model runs in `processes` fresh processes, shuffled round by round with the others, so
    that a slow minute of the machine hits all of them. A process is pinned to a core, never
    imports TensorFlow, and measures import, loading, allocation, the first invocation, warm-up
    until it is steady, and steady runs apart. What is timed is `invoke()` alone. Before that its
    outputs are compared with those of LiteRT's reference kernels: what computes something else is
    not timed. The first model is measured a second time, to see how far apart equal things come
    out. Ctrl-C ends it, and gives what was measured.

    Example:
        >>> result = benchmark({"float32": "a.tflite", "int8": fb}, inputs=x_test, labels=y_test)
        >>> print(result)
        >>> result["int8"].median_ms, result["int8"].median_interval_ms
        >>> result.ratio("int8", "float32").value, result.verdict("int8", "float32")

    Args:
        models: `{name: Flatbuffer or path of a .tflite}`; a model of Keras 3 or tf_keras, or its
            file, is converted to float32 first. Ratios are against the first.
        inputs: Real samples to feed, `(samples, ...)`, one array per input as a dict by name
            or a sequence. Defaults to `None`: random values.
        device: `"host"`; `"mcu"`, TensorFlow Lite Micro: arena, ops, parity, flash; an Ethos-U as
            `"ethos-u55-128"`: what Vela estimates; `"adb:SERIAL"`, a phone. `labels`, `mode` and
            all after it are for the host only. Defaults to `"host"`.
        threads: Threads of the kernels; several to measure each. Defaults to `1`.
        processes: Fresh processes per model. Defaults to `None`: the mode's.
        seconds: Steady time measured in each. Defaults to `None`: the mode's.
        seed: Of the shuffle and of random inputs. Defaults to `0`.
        on_progress: Called as `on_progress(done, total)` after each process.
        labels: Class numbers of the inputs, to measure accuracy with these kernels.
        mode: `"standard"`, 8 processes of 1 s; `"quick"`, 3 of 0.3 s, too few for a verdict;
            `"mlperf-tiny"`, throughput, median of five windows of 10 s; `"mlperf-mobile"`, p90 of
            1,024 queries and 60 s. Defaults to `"standard"`.
        kernels: `"xnnpack"`, `"builtin"`, `"reference"`, or several. Defaults to `"xnnpack"`.
        batch: Samples in an invocation, one or several. Defaults to `None`: the file's.
        runtime: `"interpreter"`, `"compiled"` (CompiledModel), or both. Defaults to
            `"interpreter"`.
        timeout: Seconds after which a process is said to hang, beside what it is to measure.
            Defaults to `120`.
        keep: A file that measurements go to one by one; the same benchmark goes on from there when
            it was stopped. It goes when all is measured. Defaults to `None`.
        binary: LiteRT's `benchmark_model` for the phone. Defaults to `"benchmark_model"`.
        signature: Key of the signature to measure. Defaults to `None`: `"serving_default"`, or the
            first.

    Returns:
        A `Result` with a `Measurement` per model and setting; one that fails to run, hangs, asks
        for more memory than there is, or computes something else holds the `error`. For other
        devices a `MicroResult`, `NpuResult` or `PhoneResult`.

    Raises:
        ValueError: No models, an unknown device, mode or setting, one that the device knows
            nothing of, a number out of range, a file that is not a LiteRT model, unusable inputs
            or labels.
        FileNotFoundError: A file is missing.
        ImportError: The extra `mcu` or `npu` is not installed.

    Source: MLPerf Tiny rules v1.2 and MLPerf Mobile (its modes); Kalibera & Jones 2013, "Rigorous
    benchmarking in reasonable time" (repetition at the level of processes).
    """
    kind, detail = device_kind(device)
    given = {
        "labels": labels,
        "mode": mode,
        "kernels": kernels,
        "batch": batch,
        "runtime": runtime,
        "timeout": timeout,
        "keep": keep,
    }
    if kind != HOST:
        given |= {"inputs": inputs, "threads": threads, "processes": processes, "seconds": seconds}
        _refuse(device, given, _OF_HOST | _UNASKED[kind])
    chosen = mode_of(mode, processes, seconds)
    settings = settings_of(kernels, threads, batch, runtime)
    if isinstance(seed, bool) or not isinstance(seed, Integral) or seed < 0:
        raise ValueError(f"`seed` must be a whole number from 0. Received: seed={seed!r}")
    if isinstance(timeout, bool) or not isinstance(timeout, Real) or not 0 < timeout <= _LONGEST:
        raise ValueError(f"`timeout` must be above 0 and at most {_LONGEST} s. Received: {timeout}")
    flatbuffers = _flatbuffers(models, signature)
    samples = {
        name: None if inputs is None else flatbuffer.named_inputs(inputs, "inputs", signature)
        for name, flatbuffer in flatbuffers.items()
    }
    progress = on_progress or (lambda done, total: None)
    if kind != HOST:  # they run a file's first subgraph, whatever its signatures
        flatbuffers = {name: each.only(signature) for name, each in flatbuffers.items()}
    if kind == MICRO:
        return measure_micro(flatbuffers, samples, int(seed), progress)
    if kind == NPU:
        return measure_npu(flatbuffers, detail, progress)
    if kind == PHONE:
        if len(settings) > 1:
            raise ValueError(f"`threads` must be one number on a phone. Received: {threads}")
        return measure_on_phone(
            flatbuffers,
            detail,
            Path(binary),
            settings[0].threads,
            chosen.processes,
            chosen.seconds,
            int(seed),
            progress,
        )
    truth = _labels(labels, samples, flatbuffers, signature)
    kept = None if keep is None else place_for_file(keep)
    plan = Plan(settings, chosen, int(seed), float(timeout), kept, signature)
    return measure_on_host(flatbuffers, samples, truth, plan, progress)


def _refuse(device: str, given: Mapping, usual: Mapping) -> None:
    """Refuse what the device would not look at."""
    for name, value in usual.items():
        unset = given[name] is None if value is None else np.array_equal(given[name], value)
        if not unset:
            raise ValueError(f"`{name}` says nothing to device {device!r}: leave it out")


def _flatbuffers(models, signature: str | None) -> dict[str, Flatbuffer]:
    if not isinstance(models, Mapping) or not models:
        raise ValueError(
            f"`models` must be a {{name: model}} with at least one. Received: {models!r}"
        )
    found = {name: as_flatbuffer(model) for name, model in models.items()}
    for name, flatbuffer in found.items():
        try:
            read_model(flatbuffer.content, signature)
        except ValueError as error:
            raise ValueError(f"model {name!r}: {error}") from None
    return found


def _labels(
    labels,
    samples: Mapping[str, dict | None],
    flatbuffers: Mapping[str, Flatbuffer],
    signature: str | None,
) -> np.ndarray | None:
    if labels is None:
        return None
    found = np.asarray(labels)
    if found.ndim == 2 and found.shape[1] == 1:
        found = found[:, 0]
    if found.ndim != 1 or found.dtype.kind not in "iub":
        raise ValueError(
            f"`labels` must be class numbers, one per sample. Received: shape {found.shape}, "
            f"dtype {found.dtype}"
        )
    for arrays in samples.values():
        if arrays is None:
            raise ValueError("`labels` need `inputs`: accuracy is that of real samples")
        count = len(next(iter(arrays.values())))
        if count != len(found):
            raise ValueError(f"`labels` has {len(found)} entries for {count} samples of `inputs`")
    for name, flatbuffer in flatbuffers.items():
        outputs = read_model(flatbuffer.content, signature).outputs
        shapes = [tensor.shape for tensor in outputs.values()]
        if len(shapes) != 1 or len(shapes[0]) != 2:
            raise ValueError(
                f"`labels` are for models with one output of classes; that of model {name!r} has "
                f"shapes {shapes}"
            )
    return found

"""Runs models in TensorFlow Lite Micro, each in a process of its own."""

from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec

import numpy as np

from converters.executions import work
from converters.flatbuffer import Flatbuffer
from converters.packaging.arena import KERNELS, run_micro
from converters.packaging.ports import Port, Ports, read_ports
from converters.reader import read_model
from converters.targets import unsupported
from device_bench.environment import describe_host
from device_bench.micro.flash import LABEL, code_bytes
from device_bench.micro.result import MicroMeasurement, MicroResult

_RUNS = 8


def measure_micro(
    models: Mapping[str, Flatbuffer],
    samples: Mapping[str, Mapping[str, np.ndarray] | None],
    seed: int,
    on_progress: Callable[[int, int], None],
) -> MicroResult:
    """Arena, ops, flash and parity of each model.

    Args:
        models: By name.
        samples: For each model its inputs by name, of which eight batches are run; None for noise.
        seed: Of noise.
        on_progress: Called as `on_progress(done, total)` after each model.

    Raises:
        ImportError: tflite-micro is not installed.
    """
    if find_spec("tflite_micro") is None:
        raise ImportError(
            "`device` 'mcu' needs tflite-micro: pip install 'edgekit-keras[mcu]' (wheels are for "
            "Linux on x86-64)"
        )
    found = []
    for name, flatbuffer in models.items():
        found.append(_measured(name, flatbuffer, samples[name], seed))
        on_progress(len(found), len(models))
    settings = {
        "device": "mcu",
        "tflite-micro": version("tflite-micro"),
        "kernels": KERNELS,
        "code": LABEL,
        "seed": seed,
        "inputs": "noise" if all(s is None for s in samples.values()) else "real samples",
    }
    return MicroResult(tuple(found), settings, describe_host())


def _measured(name: str, flatbuffer: Flatbuffer, given, seed: int) -> MicroMeasurement:
    info = read_model(flatbuffer.content)
    ops = unsupported(info.ops, "tflite-micro")
    about = {
        "name": name,
        "file_bytes": flatbuffer.size,
        "sha256": flatbuffer.sha256,
        "macs": work(info).macs,
        "unsupported": tuple(dict.fromkeys(f"{op.op}: {op.reason}" for op in ops)),
    }
    try:
        ports = read_ports(flatbuffer.content)
        inputs, runs = _inputs(ports, given, seed)
        run = run_micro(flatbuffer.content, inputs, len(ports.outputs), runs=runs)
    except ValueError as error:
        return MicroMeasurement(**about, error=str(error))
    return MicroMeasurement(
        **about,
        head=run.head,
        tail=run.tail,
        least_arena=run.least,
        code_bytes=code_bytes(op.name for op in info.ops),
        parity=_parity(flatbuffer, ports, inputs, run.outputs),
        runs=runs,
    )


def _inputs(ports: Ports, given, seed: int) -> tuple[list[np.ndarray], int]:
    """Stored values of each input, and how many batches they are."""
    if not all(port.shape for port in ports.inputs):  # a single number has no batches
        return [_noise(np.random.default_rng(seed), port, port.shape) for port in ports.inputs], 1
    if given is None:
        rng = np.random.default_rng(seed)
        shapes = ((port, (_RUNS * port.shape[0], *port.shape[1:])) for port in ports.inputs)
        return [_noise(rng, port, shape) for port, shape in shapes], _RUNS
    first = ports.inputs[0]
    runs = min(_RUNS, len(given[first.name]) // first.shape[0])
    return [port.stored(given[port.name][: runs * port.shape[0]]) for port in ports.inputs], runs


def _noise(rng, port: Port, shape: tuple) -> np.ndarray:
    if port.integers is None:
        return rng.random(shape).astype(port.dtype)
    # An integer that stands for itself may be an index: zero is always a valid one.
    low, high = (0, 0) if port.scale is None else port.integers
    return rng.integers(low, high, shape, endpoint=True).astype(port.dtype)


def _parity(flatbuffer: Flatbuffer, ports: Ports, inputs, outputs) -> dict | None:
    fed = {port.name: values for port, values in zip(ports.inputs, inputs, strict=True)}
    try:
        expected = flatbuffer.outputs(fed, kernels="reference")
    except (ValueError, TypeError):
        return None
    found = {}
    for port, values in zip(ports.outputs, outputs, strict=True):
        reference = port.stored(expected[port.name]).reshape(np.shape(values))
        difference = np.abs(values.astype("float64") - reference.astype("float64"))
        found[port.name] = {
            "equal": float(np.mean(values == reference)),
            "largest": float(difference.max(initial=0)),
        }
    return found

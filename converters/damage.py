"""What rounding a single op does to a model's outputs."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np

from converters.integer import quantize
from converters.integer.file import FlatFile
from converters.integer.kernels import KERNELS
from converters.runner import Runner
from converters.signal_to_noise import noise_to_signal

# Samples that each file is run on.
SAMPLES = 64


def measure_damage(
    content: bytes,
    ranges: Mapping[int, tuple[float, float]],
    samples: Mapping[str, np.ndarray],
    bits: Sequence[int],
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[dict]:
    """For each op with an integer kernel: noise over signal with it alone in integers.

    Args:
        content: A float `.tflite`.
        ranges: `{tensor: (smallest, largest)}`.
        samples: `{input name: (samples, ...)}`; the first 64 are used.
        bits: Of the weights of that op: 8 or 4, where its kernel takes them.
        progress: Called with the number of files done and of all.

    Returns:
        A dict for each op: `index`, `op`, `name`, `weights` (how many) and `noise` as
        `{bits: noise power / signal power}`, summed over outputs.
    """
    file = FlatFile(content)
    ops = [(i, op) for i, op in enumerate(file.graph.operators) if _has_kernel(file, op)]
    widths = {i: [b for b in bits if b == 8 or b in _narrow(file, op)] for i, op in ops}
    samples = {name: array[:SAMPLES] for name, array in samples.items()}
    expected = _outputs(content, samples)
    floats = dict.fromkeys(range(len(file.graph.operators)), 0)
    found, done, total = [], 0, sum(map(len, widths.values()))
    for index, op in ops:
        noise = {}
        for width in widths[index]:
            alone = quantize(content, ranges, weight_bits={**floats, index: width}, edges="float32")
            noise[width] = _noise(expected, _outputs(alone, samples))
            done += 1
            progress(done, total)
        name = file.graph.tensors[int(op.outputs[0])].name.decode().split(";")[0]
        kind = file.op_name(op)
        found.append(
            {"index": index, "op": kind, "name": name, "weights": _size(file, op), "noise": noise}
        )
    return found


def _has_kernel(file: FlatFile, op) -> bool:
    kernel = KERNELS.get(file.op_name(op))
    computed = [t for t in map(int, op.inputs) if t >= 0 and file.dtype(t) == "float32"]
    return kernel is not None and "int8" in kernel.versions and bool(computed)


def _narrow(file: FlatFile, op) -> Mapping[int, int]:
    """The widths below 8 its weights can have."""
    return KERNELS[file.op_name(op)].narrow if _size(file, op) else {}


def _size(file: FlatFile, op) -> int:
    """How many weights it has."""
    slot = KERNELS[file.op_name(op)].weights
    values = None if slot is None else file.constant(int(op.inputs[slot]))
    return 0 if values is None else values.size


def _outputs(content: bytes, samples) -> dict[str, np.ndarray]:
    found = Runner(content, "xnnpack").outputs(samples)
    return {name: tensor.values for name, tensor in found.items()}


def _noise(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> float:
    return sum(noise_to_signal(values, found[name]) for name, values in expected.items())

"""Kernels that a file rounds each time it runs, as TensorFlow's fake quantisation leaves them."""

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.kernels import KERNELS


def round_kernels(file: FlatFile) -> None:
    """Put the rounded values in place of each constant → QUANTIZE → DEQUANTIZE of a kernel or bias.

    What has a grid of its own per channel counts as one too, wherever it is read. Other
    constants, as a recurrent layer's first state, keep their grid: the ops that read them need it.

    Args:
        file: A float flatbuffer; it is changed.
    """
    constants: dict[int, int] = {}  # integer tensor -> the constant it is made from
    pairs: dict[int, int] = {}  # rounded tensor -> integer tensor
    for op in file.graph.operators:
        first = int(op.inputs[0]) if len(op.inputs) else -1
        name = file.op_name(op)
        if name == "QUANTIZE" and file.constant(first) is not None:
            constants[int(op.outputs[0])] = first
        elif name == "DEQUANTIZE" and first in constants:
            pairs[int(op.outputs[0])] = first
    rounded: dict[int, int] = {}
    for op in file.graph.operators:
        kernel = KERNELS.get(file.op_name(op))
        inputs = [int(t) for t in op.inputs]
        for slot, tensor in enumerate(inputs):
            weights = (
                kernel and kernel.weights is not None and slot in (kernel.weights, kernel.bias)
            )
            if tensor in pairs and (weights or _per_channel(file, pairs[tensor])):
                integer = pairs[tensor]
                if tensor not in rounded:
                    rounded[tensor] = _rounded(file, constants[integer], integer)
                inputs[slot] = rounded[tensor]
        op.inputs = np.array(inputs, "int32")
    _drop_unread(file, constants.keys() | pairs.keys())


def _per_channel(file: FlatFile, integer: int) -> bool:
    return len(file.graph.tensors[integer].quantization.scale) > 1


def _drop_unread(file: FlatFile, tensors: set[int]) -> None:
    """Take out the ops that make those of `tensors` which nothing reads."""
    kept, read = [], {int(t) for t in file.graph.outputs}
    for op in reversed(file.graph.operators):
        made = {int(t) for t in op.outputs}
        if made and made <= tensors and not made & read:
            continue
        kept.append(op)
        read.update(int(t) for t in op.inputs)
    file.graph.operators = kept[::-1]


def _rounded(file: FlatFile, constant: int, integer: int) -> int:
    """A float constant with the values that `constant` has on the grid of `integer`."""
    values = file.constant(constant)
    grid = file.graph.tensors[integer].quantization
    limits = np.iinfo(file.dtype(integer))
    shape = [1] * values.ndim
    if len(grid.scale) > 1:
        shape[grid.quantizedDimension] = -1
    scale = np.asarray(grid.scale, "float64").reshape(shape)
    zero_point = np.asarray(grid.zeroPoint, "float64").reshape(shape)
    steps = np.clip(np.round(values / scale) + zero_point, limits.min, limits.max) - zero_point
    index = file.add_tensor(constant, "float32")
    file.set_values(index, (steps * scale).astype("float32"))
    return index

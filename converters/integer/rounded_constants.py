"""Constants that a file rounds each time it runs, as TensorFlow's fake quantisation leaves them."""

import numpy as np

from converters.integer.file import FlatFile


def round_constants(file: FlatFile) -> None:
    """Put the rounded values in place of each constant → QUANTIZE → DEQUANTIZE.

    Args:
        file: A float flatbuffer; it is changed.
    """
    stored: dict[int, int] = {}  # integer tensor -> the constant it is made from
    same: dict[int, int] = {}
    kept = []
    for op in file.graph.operators:
        first = int(op.inputs[0]) if len(op.inputs) else -1
        name = file.op_name(op)
        if name == "QUANTIZE" and file.constant(first) is not None:
            stored[int(op.outputs[0])] = first
        elif name == "DEQUANTIZE" and first in stored:
            same[int(op.outputs[0])] = _rounded(file, stored[first], first)
        else:
            kept.append(op)
    read = {int(t) for op in kept for t in op.inputs} | {int(t) for t in file.graph.outputs}
    if not same or read & stored.keys():  # something computes on the integers themselves
        return
    for op in kept:
        op.inputs = np.array([same.get(int(t), int(t)) for t in op.inputs], "int32")
    file.graph.outputs = np.array([same.get(int(t), int(t)) for t in file.graph.outputs], "int32")
    file.graph.operators = kept


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

"""Float ops without an integer kernel, as ops that have one and compute the same."""

import math
from typing import Any

import numpy as np

from converters.integer.file import FlatFile


def with_integer_kernels(content: bytes) -> bytes:
    """A float flatbuffer that computes the same by more ops that LiteRT has in integers.

    A negation is a product with -1, a square a product with itself. A sum is a mean times the
    number of values: LiteRT has SUM in int8, but its reference kernel is wrong. What Keras's
    UnitNormalization computes is one L2_NORMALIZATION, whose integers lose nothing to the wide
    range of an inverse length.

    Args:
        content: A float `.tflite`, whose first subgraph is rewritten.
    """
    file = FlatFile(content)
    before = _names(file)
    _normalize_by_length(file)
    kept: list[Any] = []
    for op in file.graph.operators:
        kept += [op, *_rewritten(file, op)]
    file.graph.operators = kept
    return content if _names(file) == before else file.tobytes()


def _names(file: FlatFile) -> list[str]:
    return [file.op_name(op) for op in file.graph.operators]


def _rewritten(file: FlatFile, op) -> list:
    """Make the op one with an integer kernel; what has to follow it then."""
    name = file.op_name(op)
    if name not in ("NEG", "SQUARE", "SUM") or file.dtype(int(op.inputs[0])) != "float32":
        return []
    source = int(op.inputs[0])
    if name == "SUM":
        axes = _axes(file, op)
        return [_product_after_mean(file, op, axes)] if axes else []
    _replace(file, op, "MUL", [source, source if name == "SQUARE" else _scalar(file, source, -1.0)])
    return []


def _product_after_mean(file: FlatFile, op, axes: set[int]):
    """The product that makes a sum of the mean which the op `op` becomes."""
    count = math.prod(int(file.graph.tensors[int(op.inputs[0])].shape[a]) for a in axes)
    (total,) = map(int, op.outputs)
    mean = file.add_tensor(total, "float32")
    file.graph.tensors[mean].name = file.graph.tensors[total].name + b"/mean"
    op.opcodeIndex = file.new_op("MEAN", [], []).opcodeIndex  # its options are those of SUM
    op.outputs = np.array([mean], "int32")
    product = file.new_op("MUL", [mean, _scalar(file, total, float(count))], [total])
    _set_options(file, product, "MulOptions")
    return product


def _axes(file: FlatFile, op) -> set[int] | None:
    """The axes that an op reduces; None where they are computed."""
    axes = file.integer_constant(int(op.inputs[1]))
    shape = file.graph.tensors[int(op.inputs[0])].shape
    if axes is None or shape is None:
        return None
    return {int(axis) % len(shape) for axis in axes}


def _normalize_by_length(file: FlatFile) -> None:
    """MUL(x, [MINIMUM](RSQRT(SUM(x * x)))) over the last axis becomes L2_NORMALIZATION(x)."""
    made_by = {int(t): op for op in file.graph.operators for t in op.outputs}
    found = False
    for op in file.graph.operators:
        if file.op_name(op) != "MUL" or op.builtinOptions.fusedActivationFunction:
            continue
        first, second = map(int, op.inputs)
        for x, inverse in ((first, second), (second, first)):
            if _is_inverse_length(file, made_by, inverse, x):
                _replace(file, op, "L2_NORMALIZATION", [x])
                found = True
                break
    if found:
        _drop_unread(file)


def _is_inverse_length(file: FlatFile, made_by: dict, tensor: int, x: int) -> bool:
    bound = made_by.get(tensor)
    if bound is not None and file.op_name(bound) == "MINIMUM":
        limits = [c for t in bound.inputs if (c := file.constant(int(t))) is not None]
        tensors = [int(t) for t in bound.inputs if file.constant(int(t)) is None]
        # What bounds an inverse length at less than LiteRT does would be another function.
        if len(tensors) != 1 or limits[0].size != 1 or limits[0].item() < 1e6:
            return False
        (tensor,) = tensors
    inverse = _made_by(file, made_by, tensor, "RSQRT")
    total = inverse and _made_by(file, made_by, int(inverse.inputs[0]), "SUM")
    if not total or not total.builtinOptions.keepDims:
        return False
    last = len(file.graph.tensors[x].shape) - 1
    square = made_by.get(int(total.inputs[0]))
    if square is None or _axes(file, total) != {last}:
        return False
    factors = [int(t) for t in square.inputs]
    return (file.op_name(square), factors) in (("SQUARE", [x]), ("MUL", [x, x]))


def _made_by(file: FlatFile, made_by: dict, tensor: int, name: str):
    op = made_by.get(tensor)
    return op if op is not None and file.op_name(op) == name else None


def _scalar(file: FlatFile, like: int, value: float) -> int:
    index = file.add_tensor(int(like), "float32")
    tensor = file.graph.tensors[index]
    tensor.shape, tensor.shapeSignature = np.zeros(0, "int32"), None
    tensor.name = tensor.name + b"/factor"
    file.set_values(index, np.float32(value))
    return index


def _replace(file: FlatFile, op, name: str, inputs: list[int]) -> None:
    new = file.new_op(name, inputs, [])
    op.opcodeIndex, op.inputs = new.opcodeIndex, new.inputs
    _set_options(file, op, "MulOptions" if name == "MUL" else "L2NormOptions")


def _set_options(file: FlatFile, op, name: str) -> None:
    op.builtinOptionsType = getattr(file.schema.BuiltinOptions, name)
    op.builtinOptions = getattr(file.schema, f"{name}T")()


def _drop_unread(file: FlatFile) -> None:
    """Take out the ops whose outputs nothing reads any more."""
    kept, read = [], {int(t) for t in file.graph.outputs}
    for op in reversed(file.graph.operators):
        if len(op.outputs) and not {int(t) for t in op.outputs} & read:
            continue
        kept.append(op)
        read.update(int(t) for t in op.inputs)
    file.graph.operators = kept[::-1]

"""Float ops without an integer kernel, as ops that have one and compute the same."""

import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.masks import hide_by_constants


def with_integer_kernels(content: bytes, subgraphs: Iterable[int] = (0,)) -> bytes:
    """A float flatbuffer that computes the same by more ops that LiteRT has in integers.

    A negation is a product with -1, a square a product with itself. A sum is a mean times the
    number of values: LiteRT has SUM in int8, but its reference kernel is wrong. What Keras's
    UnitNormalization computes is one L2_NORMALIZATION, whose integers lose nothing to the wide
    range of an inverse length. What a mask hides from a softmax it hides by a constant.

    Args:
        content: A float `.tflite`.
        subgraphs: Numbers of those that are rewritten. Defaults to the first alone.
    """
    numbers = sorted(subgraphs)
    views = FlatFile(content, numbers[0]).of(numbers)
    changed = [_rewrite(view) for view in views]
    return views[0].tobytes() if any(changed) else content


def _rewrite(file: FlatFile) -> bool:
    """Rewrite a subgraph; whether there was anything to rewrite."""
    before = _names(file)
    changed = hide_by_constants(file)
    _normalize_by_length(file)
    kept: list[Any] = []
    for op in file.graph.operators:
        kept += [op, *_rewritten(file, op)]
    file.graph.operators = kept
    if changed:
        _drop_unread(file)
    return changed or _names(file) != before


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
    """MUL(x, [MINIMUM](RSQRT(SUM(x * x)))) becomes L2_NORMALIZATION(x), along the last axis."""
    made_by = {int(t): op for op in file.graph.operators for t in op.outputs}
    kept: list[Any] = []
    for op in file.graph.operators:
        kept += _by_length(file, made_by, op) or [op]
    if len(kept) > len(file.graph.operators) or "L2_NORMALIZATION" in map(file.op_name, kept):
        file.graph.operators = kept
        _drop_unread(file)


def _by_length(file: FlatFile, made_by: dict, op) -> list | None:
    """The ops that normalize in place of the product `op`; None where it does something else."""
    if file.op_name(op) != "MUL" or op.builtinOptions.fusedActivationFunction:
        return None
    first, second = map(int, op.inputs)
    for x, inverse in ((first, second), (second, first)):
        axes = _axes_of_length(file, made_by, inverse, x)
        rank = len(file.graph.tensors[x].shape)
        if axes == {rank - 1}:
            _replace(file, op, "L2_NORMALIZATION", [x])
            return [op]
        if axes and 0 not in axes:
            return _along_other_axes(file, op, x, sorted(axes))
    return None


def _along_other_axes(file: FlatFile, op, x: int, axes: list[int]) -> list:
    """L2_NORMALIZATION between what moves the axes to the end, as one, and back."""
    shape = [int(n) for n in file.graph.tensors[x].shape]
    order = [axis for axis in range(len(shape)) if axis not in axes] + axes
    moved = [shape[axis] for axis in order]
    joined = [*moved[: -len(axes)], math.prod(moved[-len(axes) :])]
    there, normal = _like(file, x, moved), _like(file, x, moved)
    ops = [_moving(file, "TRANSPOSE", x, there, order)]
    source, target = there, normal
    if len(axes) > 1:
        source, target = _like(file, x, joined), _like(file, x, joined)
        ops.append(_moving(file, "RESHAPE", there, source, joined))
    ops.append(file.new_op("L2_NORMALIZATION", [source], [target]))
    _set_options(file, ops[-1], "L2NormOptions")
    if len(axes) > 1:
        ops.append(_moving(file, "RESHAPE", target, normal, moved))
    (output,) = map(int, op.outputs)
    ops.append(_moving(file, "TRANSPOSE", normal, output, [int(a) for a in np.argsort(order)]))
    return ops


def _like(file: FlatFile, tensor: int, shape: list[int]) -> int:
    index = file.add_tensor(tensor, "float32")
    file.graph.tensors[index].shape = np.array(shape, "int32")
    file.graph.tensors[index].shapeSignature = None
    return index


def _moving(file: FlatFile, name: str, source: int, target: int, numbers: list[int]):
    """A TRANSPOSE or RESHAPE by some numbers."""
    constant = file.add_tensor(source, "int32")
    tensor = file.graph.tensors[constant]
    tensor.shape, tensor.shapeSignature = np.array([len(numbers)], "int32"), None
    file.set_values(constant, np.array(numbers, "int32"))
    op = file.new_op(name, [source, constant], [target])
    _set_options(file, op, f"{name.capitalize()}Options")
    if name == "RESHAPE":
        op.builtinOptions.newShape = np.array(numbers, "int32")
    return op


def _axes_of_length(file: FlatFile, made_by: dict, tensor: int, x: int) -> set[int] | None:
    """The axes over which the tensor is the inverse length of `x`; None where it is not."""
    bound = made_by.get(tensor)
    if bound is not None and file.op_name(bound) == "MINIMUM":
        limits = [c for t in bound.inputs if (c := file.constant(int(t))) is not None]
        tensors = [int(t) for t in bound.inputs if file.constant(int(t)) is None]
        # What bounds an inverse length at less than LiteRT does would be another function.
        if len(tensors) != 1 or limits[0].size != 1 or limits[0].item() < 1e6:
            return None
        (tensor,) = tensors
    inverse = _made_by(file, made_by, tensor, "RSQRT")
    total = inverse and _made_by(file, made_by, int(inverse.inputs[0]), "SUM")
    if not total or not total.builtinOptions.keepDims:
        return None
    square = made_by.get(int(total.inputs[0]))
    if square is None:
        return None
    factors = [int(t) for t in square.inputs]
    squared = (file.op_name(square), factors) in (("SQUARE", [x]), ("MUL", [x, x]))
    return _axes(file, total) if squared else None


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

"""TensorFlow operations that only move values: which they are, and how to move others alike."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from edgekit.distillation.class_axes import ClassAxes, joined
from edgekit.distillation.computation import Computed

raw = tf.raw_ops
# The logit of a probability that is next to 0, such as the zeros of padding: log 1e-37.
NEVER = -85.2


@dataclass(frozen=True)
class Move:
    """An operation whose outputs are some of its inputs' values, elsewhere.

    Attributes:
        again: `again(values, operation)` moves others as the operation did; `values` is a list.
        start: The first input that is values.
        stop: The first behind these; None for all.
    """

    again: Callable[[list, Computed], Any]
    start: int = 0
    stop: int | None = 1

    def values(self, operation: Computed) -> Sequence[Any]:
        """Those inputs of the operation that are values."""
        return operation.inputs[self.start : self.stop]


def _strided_slice(values, operation):
    masks = ("begin_mask", "end_mask", "ellipsis_mask", "new_axis_mask", "shrink_axis_mask")
    begin, end, strides = operation.inputs[1:]
    return raw.StridedSlice(
        input=values[0],
        begin=begin,
        end=end,
        strides=strides,
        **{name: operation.attributes[name] for name in masks},
    )


def _resized(values, operation):
    names = ("align_corners", "half_pixel_centers")
    return raw.ResizeNearestNeighbor(
        images=values[0],
        size=operation.inputs[1],
        **{name: operation.attributes[name] for name in names},
    )


def _gathered(values, operation):
    return raw.GatherV2(
        params=values[0],
        indices=operation.inputs[1],
        axis=operation.inputs[2],
        batch_dims=operation.attributes.get("batch_dims", 0),
    )


def _blocks(kernel):
    def again(values, operation):
        return kernel(
            input=values[0],
            block_size=operation.attributes["block_size"],
            data_format=operation.attributes.get("data_format", "NHWC"),
        )

    return Move(again)


def _unpacked(values, operation):
    axis = operation.attributes.get("axis") or 0
    return tf.unstack(values[0], num=operation.attributes["num"], axis=axis)[operation.place]


def _split(values, operation):
    parts = tf.split(values[0], operation.attributes["num_split"], operation.inputs[0])
    return parts[operation.place]


def _split_by_sizes(values, operation):
    _, sizes, axis = operation.inputs
    parts = raw.SplitV(
        value=values[0], size_splits=sizes, axis=axis, num_split=operation.attributes["num_split"]
    )
    return parts[operation.place]


MOVES: dict[str, Move] = {
    "Reshape": Move(lambda v, o: tf.reshape(v[0], o.inputs[1])),
    "ExpandDims": Move(lambda v, o: tf.expand_dims(v[0], o.inputs[1])),
    "Squeeze": Move(
        lambda v, o: tf.squeeze(v[0], list(o.attributes["squeeze_dims"] or ()) or None)
    ),
    "Transpose": Move(lambda v, o: tf.transpose(v[0], o.inputs[1])),
    "ConcatV2": Move(lambda v, o: tf.concat(v, o.inputs[-1]), 0, -1),
    "Pack": Move(lambda v, o: tf.stack(v, o.attributes.get("axis") or 0), 0, None),
    "Unpack": Move(_unpacked),
    "Split": Move(_split, 1, 2),
    "SplitV": Move(_split_by_sizes),
    "StridedSlice": Move(_strided_slice),
    "Slice": Move(lambda v, o: tf.slice(v[0], o.inputs[1], o.inputs[2])),
    "GatherV2": Move(_gathered),
    "GatherNd": Move(lambda v, o: tf.gather_nd(v[0], o.inputs[1])),
    "Tile": Move(lambda v, o: tf.tile(v[0], o.inputs[1])),
    "BroadcastTo": Move(lambda v, o: tf.broadcast_to(v[0], o.inputs[1])),
    "ResizeNearestNeighbor": Move(_resized),
    "ReverseV2": Move(lambda v, o: tf.reverse(v[0], o.inputs[1])),
    "Roll": Move(lambda v, o: tf.roll(v[0], o.inputs[1], o.inputs[2])),
    "MirrorPad": Move(
        lambda v, o: raw.MirrorPad(input=v[0], paddings=o.inputs[1], mode=o.attributes["mode"])
    ),
    "DepthToSpace": _blocks(raw.DepthToSpace),
    "SpaceToDepth": _blocks(raw.SpaceToDepth),
}


def _max_pooled(values, operation):
    names = ("ksize", "strides", "padding", "data_format")
    return raw.MaxPool(input=values[0], **{name: operation.attributes[name] for name in names})


# What is the largest of sigmoids is the sigmoid of the largest logit.
CHOICES: dict[str, Move] = {
    "Max": Move(
        lambda v, o: raw.Max(
            input=v[0], axis=o.inputs[1], keep_dims=o.attributes.get("keep_dims", False)
        )
    ),
    "Min": Move(
        lambda v, o: raw.Min(
            input=v[0], axis=o.inputs[1], keep_dims=o.attributes.get("keep_dims", False)
        )
    ),
    "MaxPool": Move(_max_pooled),
    "Pad": Move(lambda v, o: tf.pad(v[0], o.inputs[1], constant_values=NEVER)),
}


# What TensorFlow computes axes by.
_ARITHMETIC: dict[str, Callable] = {
    "AddV2": np.add,
    "ConcatV2": lambda *values: np.concatenate(values[:-1], axis=values[-1]),
    "FloorMod": np.mod,
    "Identity": np.asarray,
    "Neg": np.negative,
    "Pack": lambda *values: np.stack(values),
    "Range": np.arange,
    "Sub": np.subtract,
}


def static_value(tensor: Any) -> np.ndarray | None:
    """The value of a tensor that does not depend on what a model is given; None of others."""
    value = tf.get_static_value(tensor)
    if value is not None or not isinstance(tensor, tf.Tensor):
        return value
    compute = _ARITHMETIC.get(tensor.op.type)
    given = [static_value(each) for each in tensor.op.inputs] if compute else [None]
    return None if any(each is None for each in given) else compute(*given)


def moved_classes(operation: Computed, parts: list[ClassAxes], shape: tf.TensorShape):
    """Where classes run behind a move; None where that cannot be told.

    Args:
        operation: The move.
        parts: Where they run in each of its values.
        shape: Of its output.
    """
    if shape.rank is None:
        return None
    if operation.kind == "Transpose":
        order = static_value(operation.inputs[1])
        return None if order is None else parts[0].transposed(order.tolist())
    if operation.kind in ("Reshape", "ExpandDims", "Squeeze"):
        return parts[0].reshaped(shape.as_list())
    if operation.kind == "ConcatV2":
        axis = static_value(operation.inputs[-1])
        return None if axis is None else joined(parts, int(axis))
    if any(not one.same_as(other) for one, other in zip(parts, parts[1:], strict=False)):
        return None
    return probed(MOVES[operation.kind], operation, parts[0], shape)


def probed(move: Move, operation: Computed, axes: ClassAxes, shape: tf.TensorShape):
    """Where classes run behind an operation: seen where each class's number comes out.

    Args:
        move: How it is run.
        operation: The operation; what it is given beside values has to be known.
        axes: Where classes run in them: along one axis, or this cannot tell.
        shape: Of its output.
    """
    whole = [number for number, factors in enumerate(axes.factors) if factors[0][1]]
    if any(len(factors) > 1 for factors in axes.factors) or len(whole) != 1 or axes.count is None:
        return None
    values = move.values(operation)
    sizes = [size or 2 for size in values[0].shape]
    line = [axes.count if number == whole[0] else 1 for number in range(len(sizes))]
    with tf.init_scope():
        numbers = np.broadcast_to(np.arange(axes.count, dtype="float32").reshape(line), sizes)
        given = [*map(static_value, operation.inputs)]
        known = Computed(operation.kind, given, operation.attributes, operation.place)
        try:
            found = np.asarray(move.again([tf.constant(numbers)] * len(values), known))
        except Exception:  # sizes that are open here, and known to the operation
            return None
    for axis in range(found.ndim):
        first = np.moveaxis(found, axis, 0).reshape(found.shape[axis], -1)
        if (first == first[:, :1]).all() and sorted(first[:, 0]) == list(range(axes.count)):
            return ClassAxes.along(axis, shape.as_list())
    return None

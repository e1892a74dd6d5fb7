"""Masks: what Keras hands on beside tensors, and what they hide from a softmax."""

import math
from inspect import signature
from typing import Any

import keras
import numpy as np
from keras import layers as kl
from keras import tree

# What replaces a score that a mask hides, as in Keras.
HIDDEN = -1e9
# A constant as low as this, picked or added before a softmax, hides.
_HIDES = -100.0
# What an 8-bit ADD can add to scores without losing their steps; it hides all the same.
LOWEST_SUMMAND = -1024.0

_TAKE_NO_MASK_IN_INTEGERS = (kl.GlobalAveragePooling1D, kl.Softmax)


def mask_of(tensor: Any) -> Any:
    """The mask that Keras hands on beside a tensor, or None."""
    return getattr(tensor, "_keras_mask", None)


@keras.saving.register_keras_serializable(package="edgekit")
class MaskOf(keras.Operation):
    """The mask that comes with a tensor when the graph runs; where none does, it hides nothing.

    Args:
        rank: Of the mask. Defaults to `2`.
    """

    def __init__(self, rank: int = 2, *, name=None):
        super().__init__(name=name)
        self.rank = rank

    def call(self, x):
        mask = mask_of(x)
        return keras.ops.ones(keras.ops.shape(x)[: self.rank], "bool") if mask is None else mask

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape[: self.rank], "bool")


def expect_mask(tensor: keras.KerasTensor, like: keras.KerasTensor | None) -> None:
    """Let a symbolic tensor have a mask of the shape of `like`: whatever comes with it then."""
    if like is not None:
        tensor._keras_mask = MaskOf(len(like.shape))(tensor)


def attach_masks(tensors: list, masks: list) -> None:
    """Let each tensor have its mask, as if Keras had handed it on; None leaves it without."""
    for tensor, mask in zip(tensors, masks, strict=True):
        tensor._keras_mask = mask


def implied_masks(layer: keras.layers.Layer, args, kwargs) -> dict[str, Any]:
    """The mask arguments that `layer(*args, **kwargs)` fills in from the masks of its tensors.

    Source: keras.layers.Layer.__call__, step 6.
    """
    parameters = signature(layer.call)
    given = parameters.bind(*args, **kwargs).arguments
    tensors = {name: value for name, value in given.items() if _holds_tensors(value)}
    names = {f"{name}_mask": value for name, value in tensors.items()}
    if len(tensors) == 1:
        names = {"mask": next(iter(tensors.values()))}
    found = {}
    for name, value in names.items():
        if name in parameters.parameters and given.get(name) is None:
            masks = tree.map_structure(mask_of, value)
            if any(mask is not None for mask in tree.flatten(masks)):
                found[name] = masks
    return found


def computes_with_mask(call: Any, tensors: list) -> bool:
    """Whether a mask reaches a layer of one op that has no mask in integers.

    Args:
        call: The call.
        tensors: What stands for its input tensors now.
    """
    if not isinstance(call.operation, _TAKE_NO_MASK_IN_INTEGERS):
        return False
    given = [*call.arguments.args[1:], call.arguments.kwargs.get("mask")]
    return mask_of(tensors[0]) is not None or any(each is not None for each in given)


def hiding_constant(call: Any) -> float | None:
    """The largest of the constants with which a `where` hides values, or the lowest that is added.

    None where there are no such constants.
    """
    found = [v for v in _constants(call) if v.dtype != bool and v.size]
    if type(call.operation).__name__ == "Where":
        lows = [float(v.max()) for v in found if v.max() <= _HIDES]
    elif type(call.operation).__name__ == "Add":
        lows = [max(float(v.min()), LOWEST_SUMMAND) for v in found if v.min() <= _HIDES]
    else:
        lows = []
    return lows[0] if lows else None


def makes_summand(call: Any) -> bool:
    """Whether constants of the call make what a mask may add: 0, or a number far from it."""
    if type(call.operation).__name__ not in ("Multiply", "Where"):
        return False
    found = [v for v in _constants(call) if v.dtype != bool and v.size]
    return any(np.abs(v).max() >= -_HIDES for v in found)


def has_mask(call: Any) -> bool:
    """Whether the call is an attention of `keras.ops` some of whose scores are hidden."""
    if type(call.operation).__name__ != "DotProductAttention":
        return False
    return call.operation.is_causal or call.arguments.kwargs.get("mask") is not None


def has_numbers(call: Any) -> bool:
    """Whether a call has constants beside its tensors that are more than zeros."""
    return any(np.any(constant) for constant in _constants(call))


def with_summand_in_reach(args: tuple, kwargs: dict) -> tuple[tuple, dict]:
    """The arguments of a call, whose constants are no larger than what an 8-bit ADD can add."""

    def near(value):
        array = _constant(value)
        if array is None or array.dtype == bool or np.abs(array).max(initial=0) < -_HIDES:
            return value
        return np.clip(array, LOWEST_SUMMAND, -LOWEST_SUMMAND).astype("float32")

    return tree.map_structure(near, (args, kwargs))


def reach(values: int | None, bits: int) -> float:
    """How far below every score what is hidden has to be.

    All that is hidden in a row together gets half a step of the softmax at most.

    Args:
        values: How many scores a row has; None where that is open.
        bits: Width of the integers.
    """
    return math.log(2 ** (bits + 1) * (values or 64))


def _holds_tensors(value) -> bool:
    return any(isinstance(each, keras.KerasTensor) for each in tree.flatten(value))


def _constants(call) -> list[np.ndarray]:
    values = tree.flatten((call.arguments.args, call.arguments.kwargs))
    return [v for v in map(_constant, values) if v is not None]


def _constant(value) -> np.ndarray | None:
    if isinstance(value, (keras.KerasTensor, str, type(None))):
        return None
    if not isinstance(value, (bool, int, float)) and not hasattr(value, "dtype"):
        return None
    return np.asarray(keras.ops.convert_to_numpy(value))

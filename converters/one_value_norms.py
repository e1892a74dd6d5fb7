"""Normalizations over a single value, which is its own mean, while a model is traced.

They give their offset, whatever comes in. Computed as the difference of two products, that offset
drowns in the steps of 8-bit integers.
"""

import math
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import keras
from keras import ops


@contextmanager
def offsets_alone() -> Iterator[None]:
    """Within it layer and group normalizations over one value each are their offsets.

    As layers and as operations; those over more values stay what they are.
    """
    # What the layer and the operation of Keras both call; there is no public name for it.
    functions = sys.modules[ops.layer_normalization.__module__]
    groups = keras.layers.GroupNormalization
    with ExitStack() as stack:
        for owner, name, replaced in (
            (functions, "_layer_normalization", _layer_normalization),
            (groups, "_apply_normalization", _group_normalization),
        ):
            original = getattr(owner, name, None)
            if original is not None:
                stack.enter_context(patch.object(owner, name, replaced(original)))
        yield


def _layer_normalization(original: Callable) -> Callable:
    def normalized(x, gamma=None, beta=None, axis=-1, epsilon=None, rms_scaling=False):
        axes = axis if isinstance(axis, (list, tuple)) else [axis]
        if rms_scaling or any(x.shape[a] != 1 for a in axes):
            return original(x, gamma, beta, axis, epsilon, rms_scaling)
        return _offset(x, beta if beta is None else ops.reshape(beta, ()))

    return normalized


def _group_normalization(original: Callable) -> Callable:
    def normalized(layer, reshaped_inputs, input_shape):
        sizes = reshaped_inputs.shape[1:]
        if None in sizes or math.prod(sizes) != layer.groups:
            return original(layer, reshaped_inputs, input_shape)
        shape = layer._create_broadcast_shape(input_shape)
        return _offset(reshaped_inputs, ops.reshape(layer.beta, shape) if layer.center else None)

    return normalized


def _offset(x: Any, beta: Any) -> Any:
    zeros = x * 0  # still computed from the input: files have no outputs that are constants
    return zeros if beta is None else zeros + ops.cast(beta, x.dtype)

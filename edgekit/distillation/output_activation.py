"""Which activation a model's outputs have been through, and the logits they come from."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from edgekit.core.graph import Graph

SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"
ACTIVATIONS = (SOFTMAX, SIGMOID, LINEAR)
# Smaller probabilities say no more; integer files round them to 0.
_SMALLEST = 1e-7
# How far the integer probabilities of a sample are from their sum of 1, and small ones from 0.
_SLACK = 0.02


def activation_in_graph(tensor: keras.KerasTensor, makers: Mapping[int, Any]) -> str:
    """What a model's graph shows of an output: `"softmax"`, `"sigmoid"` or `"linear"`.

    Args:
        tensor: An output.
        makers: `{id(tensor): call that makes it}` of the graph.
    """
    call = makers.get(id(tensor))
    if call is None:
        return LINEAR
    operation = call.operation
    if isinstance(operation, keras.Model):
        return _activation_inside(operation, [id(t) for t in call.outputs].index(id(tensor)))
    name = _name(operation)
    if name == SIGMOID or (name == SOFTMAX and _along_the_last(operation, tensor)):
        return name
    rounds = getattr(operation, "rounds", "") == "activations"
    if len(call.input_tensors) != 1 or not (rounds or _passes(operation, call)):
        return LINEAR
    return activation_in_graph(call.input_tensors[0], makers)


def sums_to_one(values: np.ndarray) -> bool:
    """Whether all values are those of a softmax along the last axis."""
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f" or not values.size:
        return False
    sums = np.abs(values.sum(axis=-1, dtype="float64") - 1).max()
    return bool(values.min() >= -_SLACK / values.shape[-1] and sums < _SLACK)


def between_zero_and_one(values: np.ndarray) -> bool:
    """Whether all values could be those of a sigmoid."""
    return bool(values.dtype.kind == "f" and values.size and 0 < values.min() <= values.max() < 1)


def logits_of(outputs: Any, activation: str):
    """What the activation was applied to, up to a constant per sample; float32.

    Args:
        outputs: `(batch, …, classes)`.
        activation: As above. The logits of a sigmoid come in pairs, `(batch, …, units, 2)`: those
            of yes and of no.
    """
    # Keras keeps the logits of a softmax or sigmoid beside its output, to the last digit.
    kept = getattr(outputs, "_keras_logits", None)
    outputs = ops.cast(outputs, "float32")
    if activation == SOFTMAX:
        return ops.log(ops.maximum(outputs, _SMALLEST)) if kept is None else _float32(kept)
    if activation == SIGMOID:
        if kept is not None:
            yes = _float32(kept)
        else:
            inside = ops.clip(outputs, _SMALLEST, 1 - _SMALLEST)
            yes = ops.log(inside) - ops.log1p(-inside)
        return ops.stack([yes, ops.zeros_like(yes)], axis=-1)
    return outputs


def check_activation(name: str, value: str) -> None:
    """Refuse what is no activation of outputs.

    Raises:
        ValueError: It is not.
    """
    if value not in ACTIVATIONS:
        raise ValueError(
            f"`{name}` must be one of {', '.join(ACTIVATIONS)}. Received: {name}={value!r}"
        )


def _float32(values):
    return ops.cast(values, "float32")


def _activation_inside(model: keras.Model, place: int) -> str:
    try:
        graph = Graph(model)
    except ValueError:
        return LINEAR
    makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
    return activation_in_graph(graph.outputs[place], makers)


def _passes(operation, call) -> bool:
    """Whether each sample's values stay what they are, those of a softmax along the last axis."""
    if isinstance(operation, (layers.Dropout, layers.Identity)):
        return True
    before, after = call.input_tensors[0].shape, call.outputs[0].shape
    shaped = isinstance(operation, (layers.Flatten, layers.Reshape))
    return shaped and before[-1] is not None and before[-1] == after[-1]


def _along_the_last(operation, tensor) -> bool:
    axis = getattr(operation, "axis", -1)
    return axis in (-1, len(tensor.shape) - 1)


def _name(operation) -> str:
    """What the operation does last."""
    if isinstance(operation, layers.TimeDistributed):
        operation = operation.layer
    # A wrapper of quantisation-aware training says which function it rounds.
    function = getattr(operation, "output_activation", None) or getattr(
        operation, "activation", None
    )
    if function is None:  # keras.layers.Softmax, keras.ops.sigmoid
        return type(operation).__name__.lower()
    return getattr(function, "__name__", type(function).__name__).lower()

"""Which activation a model's outputs have been through, and the logits they come from."""

from typing import Any

import keras
from keras import layers, ops

from edgekit.core.graph import Graph

SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"
ACTIVATIONS = (SOFTMAX, SIGMOID, LINEAR)
# Smaller probabilities say no more; integer files round them to 0.
_SMALLEST = 1e-7
# Leave a value what it is.
_PASSING = (
    layers.Dropout,
    layers.Flatten,
    layers.Identity,
    layers.Permute,
    layers.Reshape,
)


def output_activations(model: keras.Model) -> list[str]:
    """`"softmax"`, `"sigmoid"` or `"linear"` of each output, in flat order.

    Example:
        >>> output_activations(keras.applications.MobileNetV2())
        ['softmax']

    Args:
        model: Of any kind. What a subclassed model does last cannot be seen: its outputs count as
            `"linear"`.
    """
    try:
        graph = Graph(model)
    except ValueError:
        return [LINEAR]
    makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
    return [_activation(tensor, makers) for tensor in graph.outputs]


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


def _activation(tensor, makers: dict[int, Any]) -> str:
    call = makers.get(id(tensor))
    if call is None:
        return LINEAR
    operation = call.operation
    if isinstance(operation, keras.Model):
        place = [id(t) for t in call.outputs].index(id(tensor))
        return output_activations(operation)[place]
    name = _name(operation)
    if name in (SOFTMAX, SIGMOID):
        return name
    passing = isinstance(operation, _PASSING) or getattr(operation, "rounds", "") == "activations"
    if passing and len(call.input_tensors) == 1:
        return _activation(call.input_tensors[0], makers)
    return LINEAR


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

"""Which activation a model's outputs have been through, and the logits they come from."""

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops, tree

from edgekit.core.graph import Graph
from edgekit.core.layer_calls import possible_inputs

SOFTMAX, SIGMOID, LINEAR = "softmax", "sigmoid", "linear"
ACTIVATIONS = (SOFTMAX, SIGMOID, LINEAR)
# Smaller probabilities say no more; integer files round them to 0.
_SMALLEST = 1e-7
# How far the integer probabilities of a sample are from their sum of 1, and small ones from 0.
_SLACK = 0.02


def output_activations(model: keras.Model) -> list[str]:
    """`"softmax"`, `"sigmoid"` or `"linear"` of each output, in flat order.

    Read from the model's graph. Where that shows none, as in a subclassed model, the model is asked
    about two samples: values from 0 that sum to 1 are those of a softmax.

    Example:
        >>> output_activations(keras.applications.MobileNetV2())
        ['softmax']

    Args:
        model: Built, of any kind.
    """
    told = getattr(model, "activation", None)
    if isinstance(told, str):  # an ensemble's
        return [told]
    try:
        graph = Graph(model)
    except ValueError:
        found = None
    else:
        makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
        found = [_activation(tensor, makers) for tensor in graph.outputs]
        if LINEAR not in found:
            return found
    seen = _seen(model)
    if found is None:
        return seen or [LINEAR]
    return [
        one if one != LINEAR else other for one, other in zip(found, seen or found, strict=True)
    ]


def activations_of_values(outputs: Any) -> list[str]:
    """`"softmax"` or `"linear"` of each output, told from its values."""
    return [SOFTMAX if _sums_to_one(np.asarray(o)) else LINEAR for o in tree.flatten(outputs)]


def output_names(model: keras.Model) -> list[str]:
    """Names of the outputs, in flat order; `"output"` where there are none."""
    try:
        output = model.output
    except (AttributeError, ValueError):
        output = None
    if isinstance(output, Mapping):
        return sorted(output)
    return list(getattr(model, "output_names", None) or ["output"])


def matching_outputs(student: keras.Model, teacher: keras.Model) -> list[int] | None:
    """Where the teacher has each of the student's outputs, by name; None where names do not say."""
    own, other = output_names(student), output_names(teacher)
    same = len(set(own)) == len(own) and sorted(own) == sorted(other)
    return [other.index(name) for name in own] if same else None


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


def _seen(model) -> list[str] | None:
    chance = np.random.default_rng(0)

    def samples(tensor):
        shape = (2, *(size or 1 for size in tensor.shape[1:]))
        values = chance.standard_normal(shape) if "float" in tensor.dtype else np.zeros(shape)
        return values.astype(tensor.dtype)

    for inputs in possible_inputs(model):
        try:
            outputs = model(tree.map_structure(samples, inputs), training=False)
        except Exception:  # it is the user's code, and the dtype may be a wrong guess
            continue
        return activations_of_values(tree.map_structure(ops.convert_to_numpy, outputs))
    return None


def _sums_to_one(values: np.ndarray) -> bool:
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f" or not values.size:
        return False
    sums = np.abs(values.sum(axis=-1, dtype="float64") - 1).max()
    return bool(values.min() >= -_SLACK / values.shape[-1] and sums < _SLACK)


def _activation(tensor, makers: dict[int, Any]) -> str:
    call = makers.get(id(tensor))
    if call is None:
        return LINEAR
    operation = call.operation
    if isinstance(operation, keras.Model):
        place = [id(t) for t in call.outputs].index(id(tensor))
        return output_activations(operation)[place]
    name = _name(operation)
    if name == SIGMOID or (name == SOFTMAX and _along_the_last(operation, tensor)):
        return name
    rounds = getattr(operation, "rounds", "") == "activations"
    if len(call.input_tensors) != 1 or not (rounds or _passes(operation, call)):
        return LINEAR
    return _activation(call.input_tensors[0], makers)


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

"""How wide layers are, and which widths cannot change."""

from math import gcd
from typing import Any

import keras
from keras import layers

from edgekit.core.graph import Graph, copy_layer

# `{kind of layer: the argument that says how wide its output is}`.
_ARGUMENTS = {
    layers.Conv1D: "filters",
    layers.Conv2D: "filters",
    layers.Conv3D: "filters",
    layers.Conv1DTranspose: "filters",
    layers.Conv2DTranspose: "filters",
    layers.Conv3DTranspose: "filters",
    layers.SeparableConv1D: "filters",
    layers.SeparableConv2D: "filters",
    layers.Dense: "units",
    layers.ConvLSTM1D: "filters",
    layers.ConvLSTM2D: "filters",
    layers.ConvLSTM3D: "filters",
    layers.SimpleRNN: "units",
    layers.GRU: "units",
    layers.LSTM: "units",
    layers.Embedding: "output_dim",
}
_WRAPPERS = (layers.TimeDistributed, layers.Bidirectional, layers.SpectralNormalization)


def width_of(operation: Any) -> int | None:
    """Channels or units of a layer whose arguments say so; None for all others."""
    if isinstance(operation, _WRAPPERS):
        inner = operation.forward_layer if _both(operation) else operation.layer
        return width_of(inner)
    argument = _argument(operation)
    return None if argument is None else getattr(operation, argument)


def with_width(
    layer: keras.layers.Layer, width: int, before: int | None, now: int | None
) -> keras.layers.Layer:
    """A new layer of the same configuration, with another width.

    Groups of channels are as many as divide both sides; where each channel was a group, each is.

    Args:
        layer: The layer.
        width: Channels or units.
        before: Channels of the layer's input.
        now: Those of the new one's.
    """
    if isinstance(layer, _WRAPPERS):
        inner = layer.forward_layer if _both(layer) else layer.layer
        config = layer.get_config()
        for name in ("layer", "backward_layer", "build_config"):
            config.pop(name, None)
        return type(layer)(with_width(inner, width, before, now), **config)
    if isinstance(layer, layers.RNN):
        return type(layer).from_config(layer.get_config() | {_argument(layer): width})
    copy = copy_layer(layer)
    groups = getattr(copy, "groups", 1)
    if groups > 1 and groups == before:
        copy.groups, width = now, layer.filters // groups * now
    elif groups > 1:
        copy.groups = gcd(groups, gcd(now, width))
    setattr(copy, _argument(layer), width)  # not built yet
    return copy


def is_keras(layer: keras.layers.Layer) -> bool:
    """Whether the layer is one of `keras.layers`."""
    return type(layer).__module__.startswith("keras.src.layers.")


def following(layer: keras.layers.Layer, old: int, new: int) -> keras.layers.Layer:
    """A copy of a layer of one's own: numbers of its configuration that are the old width follow.

    Args:
        layer: The layer.
        old: Channels of its input.
        new: Those of the copy's.
    """
    config = layer.get_config()
    whole = {name: value for name, value in config.items() if type(value) is int and value == old}
    return type(layer).from_config(config | dict.fromkeys(whole, new))


def fixed_widths(graph: Graph) -> set[int]:
    """`id`s of layers that have to keep their width: an input or output depends on it.

    Args:
        graph: Of a model, with those of the models inside it.
    """
    joined = _Joined()
    tensors = list(graph.inputs) + list(graph.outputs)
    makers = _join(graph, joined)
    fixed = {joined.of(id(tensor)) for tensor in tensors}
    return {id(layer) for layer, tensor in makers if joined.of(id(tensor)) in fixed}


def _join(graph: Graph, joined: "_Joined") -> list[tuple[Any, Any]]:
    """Join the tensors of one width; `(layer, output)` of each that sets one."""
    makers = []
    for call in graph.calls:
        operation = call.operation
        if isinstance(operation, keras.Model):
            inner = Graph(operation)
            for outside, inside in zip(call.input_tensors, inner.inputs, strict=True):
                joined.join(id(outside), id(inside))
            for outside, inside in zip(call.outputs, inner.outputs, strict=True):
                joined.join(id(outside), id(inside))
            makers += _join(inner, joined)
        elif width_of(operation) is not None:
            makers.append((operation, call.outputs[0]))
        elif _follows(call):
            for tensor in call.input_tensors:
                joined.join(id(tensor), id(call.outputs[0]))
    return makers


def _follows(call) -> bool:
    """Whether the output is as wide as each of the inputs, and so will stay."""
    widths = {tensor.shape[-1:] for tensor in call.input_tensors}
    return len(call.outputs) == 1 and widths == {call.outputs[0].shape[-1:]}


def _argument(operation) -> str | None:
    if isinstance(operation, (layers.DepthwiseConv1D, layers.DepthwiseConv2D)):
        return None
    return next((name for kind, name in _ARGUMENTS.items() if isinstance(operation, kind)), None)


def _both(layer) -> bool:
    return isinstance(layer, layers.Bidirectional)


class _Joined:
    """Sets that are joined; each is known by one of its members."""

    def __init__(self):
        self._over: dict[int, int] = {}

    def of(self, member: int) -> int:
        while self._over.get(member, member) != member:
            member = self._over[member]
        return member

    def join(self, one: int, other: int) -> None:
        self._over[self.of(one)] = self.of(other)

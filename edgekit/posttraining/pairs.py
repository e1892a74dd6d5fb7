"""Pairs of layers between which a factor per channel can be moved."""

from dataclasses import dataclass

import keras
from keras import layers as kl

from edgekit.core.graph import Graph
from edgekit.core.kernel_layout import kernel_of
from edgekit.core.kernels import is_depthwise
from edgekit.core.neighbours import PASSES_FACTORS
from edgekit.posttraining.plain_layers import has_plain_kernel, is_plain

_SAME_PLACES = (kl.Dropout, kl.ReLU, kl.LeakyReLU, kl.Activation)
# Keras's own: functions of other people may have the same names.
_ACTIVATIONS = {
    name: getattr(keras.activations, name) for name in ("linear", "relu", "relu6", "leaky_relu")
}


@dataclass(frozen=True)
class Pair:
    """A layer, and the only one that reads its channels.

    Attributes:
        first: The layer before.
        between: What stands between them, each passing factors through.
        second: The layer after.
    """

    first: keras.layers.Layer
    between: tuple[keras.layers.Layer, ...]
    second: keras.layers.Layer

    @property
    def clipping(self) -> list[keras.layers.Layer]:
        """The layers with a ReLU6 on the way, which stops factors: it has to become ReLU."""
        return [v for v in (self.first, *self.between) if clips(v)]

    @property
    def rectified(self) -> bool:
        """Whether all there is between them is a ReLU, place by place."""
        plain = all(isinstance(layer, _SAME_PLACES) for layer in self.between)
        leaky = any(isinstance(layer, kl.LeakyReLU) for layer in self.between)
        relu = [v for v in (self.first, *self.between) if _name(v) in ("relu", "relu6")]
        return plain and not leaky and len(relu) == 1


def find_pairs(graph: Graph) -> list[Pair]:
    """The pairs of a graph, in its order. Layers that are called twice are in none."""
    operations = [call.operation for call in graph.calls]
    found = []
    for call in graph.calls:
        first = call.operation
        if not _gives(first) or operations.count(first) > 1 or not passes(first, own=True):
            continue
        between, following = [], graph.sole_consumer(call.outputs[0])
        while following is not None and passes(following.operation):
            if operations.count(following.operation) > 1:
                break
            between.append(following.operation)
            following = graph.sole_consumer(following.outputs[0])
        if following is None or not _takes(following.operation):
            continue
        if operations.count(following.operation) == 1 and len(following.input_tensors) == 1:
            found.append(Pair(first, tuple(between), following.operation))
    return found


def passes(layer, own: bool = False) -> bool:
    """Whether a positive factor passes through a layer, or only through its own activation.

    ReLU6 counts: it does once it is ReLU.
    """
    if not own and is_plain(layer, *PASSES_FACTORS):
        return True
    if not own and not is_plain(layer, kl.ReLU, kl.Activation):
        return False
    return _name(layer) in ("linear", "relu", "relu6", "leaky_relu")


def clips(layer) -> bool:
    """Whether the layer is, or has, a ReLU6."""
    return _name(layer) == "relu6"


def _name(layer) -> str:
    if isinstance(layer, kl.ReLU):
        plain = not layer.threshold and not layer.negative_slope
        return {None: "relu", 6.0: "relu6"}.get(layer.max_value, "other") if plain else "other"
    activation = getattr(layer, "activation", None)
    return next((name for name, own in _ACTIVATIONS.items() if activation is own), "other")


def _gives(layer) -> bool:
    return (
        has_plain_kernel(layer)
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _takes(layer) -> bool:
    transposed = isinstance(layer, (kl.Conv1DTranspose, kl.Conv2DTranspose))
    if not _gives(layer) or transposed:
        return False
    return getattr(layer, "groups", 1) == 1 or is_depthwise(layer, kernel_of(layer))

"""Which wrapper a layer gets."""

from typing import Any

import keras
from keras import layers as kl

from edgekit.quantization.policy import Kind, kind_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper
from edgekit.quantization.quantized_batchnorm import QuantizedBatchNorm
from edgekit.quantization.quantized_composite import QuantizedComposite, call_arguments
from edgekit.quantization.quantized_layer import QuantizedLayer
from edgekit.quantization.quantized_prelu import QuantizedPReLU
from edgekit.quantization.quantized_rnn import QuantizedRNN
from edgekit.quantization.quantized_separable import QuantizedSeparable
from edgekit.quantization.scheme import QuantScheme


def wrap(
    layer: keras.layers.Layer,
    followers: list[keras.layers.Layer],
    call: Any,
    scheme: QuantScheme,
    masks: list,
    sites: int = 1,
    learned: bool | None = None,
) -> QuantizeWrapper:
    """The wrapper for a layer and what is computed inside the same op.

    Args:
        layer: The layer to use.
        followers: The layers after it that go inside: BatchNorm, an activation.
        call: The call of the original layer in its graph.
        scheme: How to quantise.
        masks: The masks that come with its input tensors, None for those without.
        sites: How often the layer is called in all. Defaults to `1`.
        learned: Whether scales of kernels inside a layer that is several ops are learned.
            Defaults to `None`: as the scheme says.
    """
    kind = kind_of(layer)
    if kind == Kind.WEIGHTED:
        parts = {kind_of(follower): follower for follower in followers}
        separable = isinstance(layer, (kl.SeparableConv1D, kl.SeparableConv2D))
        return (QuantizedSeparable if separable else QuantizedLayer)(
            layer,
            batchnorm=parts.get(Kind.BATCHNORM),
            activation=parts.get(Kind.ACTIVATION),
            scheme=scheme,
            sites=sites,
        )
    if kind == Kind.BATCHNORM and layer.axis in (-1, len(call.outputs[0].shape) - 1):
        return QuantizedBatchNorm(layer, followers[0] if followers else None, scheme, sites)
    if type(layer) is kl.PReLU:
        return QuantizedPReLU(layer, scheme, sites)
    if is_rnn(layer):
        return QuantizedRNN(layer, scheme, sites, learned)
    arguments, dtypes = call_arguments(call)
    shapes = [None if mask is None else tuple(mask.shape) for mask in masks]
    return QuantizedComposite(layer, arguments, dtypes, scheme, sites, learned, shapes)


def is_rnn(layer: keras.layers.Layer) -> bool:
    """Whether it is a loop over a cell of keras.ops that keeps no state."""
    if type(layer) not in (kl.LSTM, kl.GRU, kl.SimpleRNN, kl.RNN) or layer.stateful:
        return False
    stacked = isinstance(layer.cell, kl.StackedRNNCells)
    cells = layer.cell.cells if stacked else [layer.cell]
    return not any(getattr(cell, "recurrent_dropout", 0) for cell in cells)

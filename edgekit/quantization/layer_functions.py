"""What some layers compute, written with the operations LiteRT has."""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import layers as kl
from keras import ops

from edgekit.quantization.expansions import affine, einsum, normalized


def function_of(layer: keras.layers.Layer) -> Callable:
    """What to trace for the layer: its own `call`, or an equal function that converts better."""
    if not has_function(layer):
        return layer.call
    function = _FUNCTIONS[type(layer)]
    return lambda *args, **kwargs: function(layer, *args, **kwargs)


def has_function(layer: keras.layers.Layer) -> bool:
    """Whether the layer's computation is written down here."""
    return type(layer) in _FUNCTIONS


def _einsum_dense(layer, inputs, **flags):
    activation = layer.activation
    activation = None if activation is keras.activations.linear else activation
    return einsum(layer.equation, inputs, layer.kernel, layer.bias, activation)


def _embedding(layer, inputs, **flags):
    return ops.take(layer.embeddings, ops.cast(inputs, "int32"), axis=0)


def _group_normalization(layer, inputs, **flags):
    if layer.axis not in (-1, len(inputs.shape) - 1):
        raise NotImplementedError("a GroupNormalization over another axis than the last")
    channels, inner = inputs.shape[-1], math.prod(inputs.shape[1:-1])
    groups = channels if layer.groups == -1 else layer.groups
    x = ops.reshape(inputs, (-1, inner, groups, channels // groups))
    x = ops.reshape(normalized(x, (1, 3), layer.epsilon), (-1, *inputs.shape[1:]))
    if not (layer.scale or layer.center):
        return x
    gamma = layer.gamma if layer.scale else ops.ones((channels,))
    return affine(x, gamma, layer.beta if layer.center else ops.zeros((channels,)))


def _rescaling(layer, inputs, **flags):
    channels = inputs.shape[-1]
    factor = np.broadcast_to(np.asarray(layer.scale, "float32"), (channels,))
    shift = np.broadcast_to(np.asarray(layer.offset, "float32"), (channels,))
    return affine(ops.cast(inputs, "float32"), factor, shift)


def _normalization(layer, inputs, **flags):
    if layer.input_mean is None:  # adapted: weights, which are loaded once all is built
        mean, variance = layer.adapt_mean, layer.adapt_variance
    else:
        mean = np.asarray(ops.convert_to_numpy(layer.mean), "float32")
        variance = np.asarray(ops.convert_to_numpy(layer.variance), "float32")
    deviation = ops.maximum(ops.sqrt(ops.reshape(variance, (-1,))), keras.config.epsilon())
    mean = ops.reshape(mean, (-1,))
    factor, shift = 1 / deviation, -mean / deviation
    if layer.invert:
        factor, shift = deviation, mean
    channels = (inputs.shape[-1],)
    return affine(
        ops.cast(inputs, "float32"),
        ops.broadcast_to(factor, channels),
        ops.broadcast_to(shift, channels),
    )


def _resizing(layer, inputs, **flags):
    if layer.antialias or layer.crop_to_aspect_ratio or layer.pad_to_aspect_ratio:
        raise NotImplementedError("resizing with antialias, cropping or padding")
    size = (layer.height, layer.width)
    return ops.image.resize(inputs, size, interpolation=layer.interpolation)


def _upsampling(layer, inputs, **flags):
    size = [n * factor for n, factor in zip(inputs.shape[1:3], layer.size, strict=True)]
    return ops.image.resize(inputs, size, interpolation=layer.interpolation)


def _time_distributed(layer, inputs, **flags):
    steps = inputs.shape[1]
    flat = ops.reshape(inputs, (-1, *inputs.shape[2:]))
    outputs = layer.layer(flat)
    return ops.reshape(outputs, (-1, steps, *outputs.shape[1:]))


def _bidirectional(layer, inputs, **flags):
    if layer.return_state:
        raise NotImplementedError("a Bidirectional that returns its states")
    forward, backward = layer.forward_layer(inputs), layer.backward_layer(inputs)
    if layer.return_sequences:
        backward = ops.flip(backward, axis=1)
    merges = {
        "concat": lambda: ops.concatenate([forward, backward], axis=-1),
        "sum": lambda: forward + backward,
        "ave": lambda: (forward + backward) * 0.5,
        "mul": lambda: forward * backward,
        None: lambda: (forward, backward),
    }
    return merges[layer.merge_mode]()


_FUNCTIONS = {
    kl.Bidirectional: _bidirectional,
    kl.EinsumDense: _einsum_dense,
    kl.Embedding: _embedding,
    kl.GroupNormalization: _group_normalization,
    kl.Normalization: _normalization,
    kl.Rescaling: _rescaling,
    kl.Resizing: _resizing,
    kl.TimeDistributed: _time_distributed,
    kl.UpSampling2D: _upsampling,
}

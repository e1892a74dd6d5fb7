"""What some layers compute, written with the operations LiteRT has."""

import math
from collections.abc import Callable
from inspect import signature

import keras
import numpy as np
from keras import layers as kl
from keras import ops, tree

from edgekit.quantization.expansions import affine, averaged, einsum, normalized
from edgekit.quantization.masks import HIDDEN


def function_of(layer: keras.layers.Layer, masks: bool = True) -> Callable:
    """What to trace for the layer: its own `call`, or an equal function that converts better.

    Args:
        layer: The layer.
        masks: Whether layers that may have a mask have such a function. Defaults to `True`.
    """
    if not has_function(layer) or (type(layer) in _MASKED and not masks):
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


def _softmax(layer, inputs, mask=None):
    axes = list(np.atleast_1d(layer.axis))
    if len(axes) > 1:
        raise NotImplementedError("a softmax over several axes")
    if mask is None:
        return ops.softmax(inputs, axis=axes[0])
    if keras.backend.standardize_dtype(mask.dtype) != "bool":
        mask = mask > 0.5
    outputs = ops.softmax(ops.where(mask, inputs, HIDDEN), axis=axes[0])
    return ops.where(mask, outputs, 0.0)  # also where all of an axis is masked


def _multi_head(layer, *args, **kwargs):
    given = signature(layer.call).bind(*args, **kwargs).arguments
    if given.pop("use_causal_mask", False):  # made of sizes that the layer forgets on the way
        causal = _causal(given["query"].shape[1], given["value"].shape[1])
        mask = given.get("attention_mask")
        given["attention_mask"] = (
            causal if mask is None else ops.logical_and(ops.cast(mask, "bool"), causal)
        )
    return layer.call(**given)


def _causal(queries: int | None, values: int | None) -> np.ndarray:
    if None in (queries, values):
        raise NotImplementedError("a causal mask over a length that is left open")
    return np.tri(queries, values, dtype=bool)[None]


def _attention(layer, inputs, mask=None, use_causal_mask=False, **flags):
    query, value = inputs[:2]
    key = inputs[2] if len(inputs) > 2 else value
    scores = layer._calculate_scores(query=query, key=key)
    of_query, of_value = (mask or [None, None])[:2]
    shown = None if of_value is None else ops.expand_dims(ops.cast(of_value, "bool"), -2)
    if use_causal_mask:
        causal = _causal(*scores.shape[1:])
        shown = causal if shown is None else ops.logical_and(shown, causal)
    if shown is not None:
        scores = ops.where(shown, scores, HIDDEN)
    weights = ops.softmax(scores, axis=-1)
    outputs = ops.matmul(weights, value)
    if of_query is not None:
        outputs = ops.where(ops.expand_dims(ops.cast(of_query, "bool"), -1), outputs, 0.0)
    return (outputs, weights) if flags.get("return_attention_scores") else outputs


def _global_average(layer, inputs, mask=None):
    if layer.data_format == "channels_first":
        raise NotImplementedError("data_format='channels_first' has no integer kernels in LiteRT")
    if mask is None:
        return ops.mean(inputs, axis=1, keepdims=layer.keepdims)
    average = averaged(inputs, mask)
    return average if layer.keepdims else ops.squeeze(average, 1)


def _time_distributed(layer, inputs, mask=None, **flags):
    if mask is not None and "mask" in signature(layer.layer.call).parameters:
        raise NotImplementedError("a TimeDistributed that hands a mask on")
    steps = inputs.shape[1]
    flat = ops.reshape(inputs, (-1, *inputs.shape[2:]))
    outputs = layer.layer(flat)
    return ops.reshape(outputs, (-1, steps, *outputs.shape[1:]))


def _bidirectional(layer, inputs, initial_state=None, mask=None, **flags):
    half = len(initial_state or []) // 2
    starts = (initial_state[:half], initial_state[half:]) if initial_state else (None, None)
    forward, backward = (
        tree.flatten(each(inputs, initial_state=start, mask=mask))
        for each, start in zip((layer.forward_layer, layer.backward_layer), starts, strict=True)
    )
    states = [*forward[1:], *backward[1:]]
    forward, backward = forward[0], backward[0]
    if layer.return_sequences:
        backward = ops.flip(backward, axis=1)
    merges = {
        "concat": lambda: ops.concatenate([forward, backward], axis=-1),
        "sum": lambda: forward + backward,
        "ave": lambda: (forward + backward) * 0.5,
        "mul": lambda: forward * backward,
        None: lambda: (forward, backward),
    }
    merged = merges[layer.merge_mode]()
    if not layer.return_state:
        return merged
    return (*merged, *states) if layer.merge_mode is None else (merged, *states)


_FUNCTIONS = {
    kl.AdditiveAttention: _attention,
    kl.Attention: _attention,
    kl.Bidirectional: _bidirectional,
    kl.EinsumDense: _einsum_dense,
    kl.Embedding: _embedding,
    kl.GlobalAveragePooling1D: _global_average,
    kl.GroupQueryAttention: _multi_head,
    kl.GroupNormalization: _group_normalization,
    kl.MultiHeadAttention: _multi_head,
    kl.Normalization: _normalization,
    kl.Rescaling: _rescaling,
    kl.Resizing: _resizing,
    kl.Softmax: _softmax,
    kl.TimeDistributed: _time_distributed,
    kl.UpSampling2D: _upsampling,
}
_MASKED = (
    kl.AdditiveAttention,
    kl.Attention,
    kl.GroupQueryAttention,
    kl.MultiHeadAttention,
)

"""`equalize`: the same function with channels of like size."""

import warnings

import keras
import numpy as np
from keras import layers as kl

from edgekit.core.batchnorm import full_precision, scale_channels
from edgekit.core.graph import Graph, with_nested
from edgekit.core.kernel_layout import kernel_layout, kernel_of
from edgekit.core.kernels import is_depthwise
from edgekit.core.low_rank import check_plain
from edgekit.posttraining.fold_batchnorm import find_folds, fold_batchnorm
from edgekit.posttraining.pairs import Pair, find_pairs

_ROUNDS = 40
_SETTLED = 1e-3
# Standard deviations below its mean that a channel's values are taken never to reach.
_DEVIATIONS = 3.0


def equalize(model: keras.Model) -> keras.Model:
    """The model with its channels scaled so that few bits serve all of them alike.

    BatchNormalization is folded. Then, for two layers with a ReLU or nothing between, channel by
    channel, weights before are divided and weights after multiplied by `s = √(r₁·r₂)/r₂`, with
    `r` the largest magnitude on each side: the function stays, the ranges become equal. Last,
    where a channel's values lie high above zero, as its BatchNormalization said, the height is
    moved into the bias of the next layer.

    Per-tensor rounding gains most, as do activations, which always have one scale.

    Example:
        >>> better = equalize(model)
        >>> ek.convert(better, "int8", calibration=x)

    Args:
        model: A built Functional or Sequential model. It stays as it is.

    Returns:
        A new, uncompiled Functional model of plain layers. A ReLU6 between equalised layers
        becomes ReLU, with a warning, since it stops factors.

    Raises:
        ValueError: Layers with LoRA or quantized by Keras,
            a subclassed or unbuilt model.

    Source: Nagel et al. 2019, Data-Free Quantization, arXiv 1906.04721, sections 4.1.1–4.1.3.
    """
    check_plain(model)
    folded = fold_batchnorm(model)
    heights = _statistics(model, folded)
    pairs = _all_pairs(folded)
    clipping = {id(layer): layer for pair in pairs for layer in pair.clipping}
    for layer in clipping.values():
        _unclip(layer)
    if clipping:
        warnings.warn(
            f"equalize made ReLU of ReLU6 in {len(clipping)} places, the first is "
            f"{next(iter(clipping.values())).name!r}: values above 6 are not cut any more",
            stacklevel=2,
        )
    for _ in range(_ROUNDS):
        if max((_balance(pair, heights) for pair in pairs), default=0.0) < _SETTLED:
            break
    for pair in pairs:
        _absorb(pair, heights)
    return folded


def _all_pairs(model: keras.Model) -> list[Pair]:
    """The pairs, each once: a model that is called twice has one graph."""
    found = {}
    for graph in with_nested(Graph(model)):
        for pair in find_pairs(graph):
            found.setdefault(id(pair.first), pair)
    return list(found.values())


def _statistics(model: keras.Model, folded: keras.Model) -> dict[int, tuple]:
    """`{id(folded layer): (mean, deviation) of its channels}`, as its BatchNormalization said."""
    before, after, found = Graph(model), Graph(folded).model, {}
    for call, maker in find_folds(before).values():
        batchnorm = call.operation
        channels = int(batchnorm.moving_mean.shape[0])
        mean = np.asarray(batchnorm.beta) if batchnorm.center else np.zeros(channels)
        deviation = np.abs(batchnorm.gamma) if batchnorm.scale else np.ones(channels)
        layer = after.get_layer(maker.operation.name)
        found[id(layer)] = mean.astype("float64"), deviation.astype("float64")
    for call in before.calls:  # names are unique within a model, not among those inside
        if isinstance(call.operation, keras.Model):
            found |= _statistics(call.operation, after.get_layer(call.operation.name))
    return found


def _unclip(layer) -> None:
    if isinstance(layer, kl.ReLU):
        layer.max_value = None
    else:
        layer.activation = keras.activations.relu


def _balance(pair: Pair, heights) -> float:
    """Make both sides' ranges equal; the largest change, as a logarithm."""
    first, second = _outgoing(pair.first), _incoming(pair.second)
    before, after = np.abs(first).max(axis=1), np.abs(second).max(axis=1)
    alive = (before > 0) & (after > 0)
    factor = np.ones(len(before))
    factor[alive] = np.sqrt(before[alive] * after[alive]) / after[alive]
    _scale_outgoing(pair.first, 1 / factor)
    _scale_incoming(pair.second, factor)
    if id(pair.first) in heights:
        mean, deviation = heights[id(pair.first)]
        heights[id(pair.first)] = mean / factor, deviation / factor
    return float(np.abs(np.log(factor)).max())


def _absorb(pair: Pair, heights) -> None:
    """Move what all values of a channel have in common into the next layer's bias."""
    if id(pair.first) not in heights or not pair.rectified or not _has_bias(pair):
        return
    mean, deviation = heights[id(pair.first)]
    height = np.maximum(0.0, mean - _DEVIATIONS * deviation)
    pair.first.bias.assign(np.asarray(pair.first.bias) - height)
    kernel = np.asarray(kernel_of(pair.second), "float64")
    kernel = kernel.sum(axis=tuple(range(kernel.ndim - 2)))
    if is_depthwise(pair.second, kernel_of(pair.second)):
        taken = (kernel * height[:, None]).reshape(-1)
    else:
        taken = np.tensordot(kernel, height, ([0], [0]))
    pair.second.bias.assign(np.asarray(pair.second.bias) + taken)


def _has_bias(pair: Pair) -> bool:
    """Whether heights can move: at padded borders the next layer would not see them."""
    window = getattr(pair.second, "kernel_size", (1,))
    padded = getattr(pair.second, "padding", "valid") != "valid" and max(window) > 1
    return pair.first.use_bias and pair.second.use_bias and not padded


def _outgoing(layer) -> np.ndarray:
    """`(output channels, weights)`."""
    kernel = np.asarray(kernel_of(layer), "float64")
    axes = [axis % kernel.ndim for axis in kernel_layout(layer).channel_axes]
    channels = int(np.prod([kernel.shape[axis] for axis in axes]))
    return np.moveaxis(kernel, axes, range(len(axes))).reshape(channels, -1)


def _incoming(layer) -> np.ndarray:
    """`(input channels, weights)`."""
    kernel = np.asarray(kernel_of(layer), "float64")
    return np.moveaxis(kernel, -2, 0).reshape(kernel.shape[-2], -1)


def _scale_outgoing(layer, factor: np.ndarray) -> None:
    factor, kernel = factor.astype("float32"), kernel_of(layer)
    kernel.assign(scale_channels(full_precision(kernel), factor, kernel_layout(layer).channel_axes))
    if layer.use_bias:
        layer.bias.assign(np.asarray(layer.bias) * factor)


def _scale_incoming(layer, factor: np.ndarray) -> None:
    kernel = kernel_of(layer)
    kernel.assign(np.asarray(kernel) * factor[:, None])

"""Operations that LiteRT computes as several: what they are made of."""

import math
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from edgekit.quantization.masks import HIDDEN


def expansion_of(operation: keras.Operation, by_length: bool = False) -> Callable | None:
    """A function that computes the operation with simpler ones; None when there is none.

    It takes the operation's arguments, and may raise `NotImplementedError` for some of them.

    Args:
        operation: The operation.
        by_length: Whether a few values are normalized by `L2Normalize`. Defaults to `False`.
    """
    name, few = type(operation).__name__, _NORMALIZATIONS_OF_FEW if by_length else {}
    expand = few.get(name, _EXPANSIONS.get(name))
    return None if expand is None else lambda *args, **kwargs: expand(operation, *args, **kwargs)


def _silu(operation, x):
    return x * ops.sigmoid(x)


def _hard_sigmoid(operation, x):
    return ops.relu6(x + 3.0) * (1 / 6)


def _tanh_shrink(operation, x):
    return x - ops.tanh(x)


def _hard_tanh(operation, x):
    return ops.clip(x, -1.0, 1.0)


class In16Bits(keras.Operation):
    """Its input, which asks for rounding to 16 bits where 8 would lose too much.

    Args:
        fixed_range: Smallest and largest value, where they are known. Defaults to `None`.
    """

    def __init__(self, fixed_range: tuple[float, float] | None = None, *, name=None):
        super().__init__(name=name)
        self.fixed_range = fixed_range

    def call(self, x):
        return x

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def normalized(x, axes, epsilon: float, centered: bool = True):
    """`x` with mean 0 (if `centered`) and mean square 1 over `axes`, by way of 16-bit integers.

    A variance covers several powers of ten, and the inverse of its root reaches every value.
    """
    if centered and math.prod(x.shape[axis] or 0 for axis in axes) == 1:
        return x * 0.0  # one value is its own mean
    if centered:
        x = fine(x - fine(ops.mean(x, axis=axes, keepdims=True)))
    variance = fine(ops.mean(fine(x * x), axis=axes, keepdims=True))
    return x * fine(ops.rsqrt(fine(variance + epsilon)))


def normalized_few(x, epsilon: float, centered: bool = True):
    """As `normalized` over the last axis, by its length in 8-bit integers.

    The variance of a few values may be anything, and LiteRT's inverse root of 16-bit integers
    is far off near zero. Where the length is computed, epsilon is one more value.
    """
    count = x.shape[-1]
    if centered:
        x = x - fine(ops.mean(x, axis=-1, keepdims=True))
    pads = [[0, 0]] * (len(x.shape) - 1) + [[0, 1]]
    x = ops.pad(x, pads, constant_values=math.sqrt(count * epsilon))
    return L2Normalize(1e-12)(x)[..., :count] * math.sqrt(count)


def fine(x, fixed_range: tuple[float, float] | None = None):
    """`x`, to be rounded to 16 bits."""
    return In16Bits(fixed_range)(x)


def averaged(x, mask):
    """The mean over axis 1 of the values that a mask shows: a product with their shares.

    Nothing is divided: what the shares are for each number of values is read from a table.
    """
    length = x.shape[1]
    if length is None:
        raise NotImplementedError("an average over a length that is left open")
    count = ops.sum(ops.cast(mask, "int32"), axis=1, keepdims=True)
    shares = np.array([0, *1 / np.arange(1, length + 1)], "float32")
    share = ops.take(shares, count, axis=0)
    weights = fine(ops.where(mask, share, 0.0), (-1.0, 32767 / 32768))
    return ops.matmul(ops.expand_dims(weights, 1), x)


@keras.saving.register_keras_serializable(package="edgekit")
class L2Normalize(keras.Operation):
    """Division by the Euclidean length along the last axis, as LiteRT's own op computes it."""

    def __init__(self, epsilon: float = 1e-6, *, name=None):
        super().__init__(name=name)
        self.epsilon = epsilon

    def call(self, x):
        length = ops.sum(ops.square(x), axis=-1, keepdims=True)
        return x * ops.rsqrt(ops.maximum(length, self.epsilon))

    def compute_output_spec(self, x):
        return keras.KerasTensor(x.shape, x.dtype)


def _normalize(operation, x):
    if operation.order != 2:
        raise NotImplementedError("a norm other than the Euclidean")
    epsilon = keras.config.epsilon() if operation.epsilon is None else operation.epsilon
    normalize = L2Normalize(max(epsilon**2, 1e-12))
    shape, axes = x.shape, [axis % len(x.shape) for axis in _axes(operation.axis)]
    if axes == [len(shape) - 1]:
        return normalize(x)
    # LiteRT normalizes along the last axis.
    order = [axis for axis in range(len(shape)) if axis not in axes] + axes
    moved = [shape[axis] for axis in order]
    inner = moved[1 : len(shape) - len(axes)]
    if 0 in axes or None in moved[1:]:
        raise NotImplementedError("a norm over the batch or beside an axis of open size")
    y = ops.reshape(ops.transpose(x, order), (-1, *inner, math.prod(shape[a] for a in axes)))
    y = normalize(y)
    return ops.transpose(ops.reshape(y, (-1, *moved[1:])), [int(a) for a in np.argsort(order)])


def _relu(operation, x):
    if operation.threshold:
        raise NotImplementedError("a ReLU with a threshold")
    x = ops.leaky_relu(x, operation.negative_slope) if operation.negative_slope else ops.relu(x)
    return x if operation.max_value is None else ops.minimum(x, float(operation.max_value))


def _softplus(operation, x):
    # log(1 + exp(x)) without a huge value on the way.
    return ops.relu(x) + ops.log(ops.exp(ops.abs(x) * -1.0) + 1.0)


def _log_sigmoid(operation, x):
    return _softplus(operation, x * -1.0) * -1.0


def _mish(operation, x):
    return x * ops.tanh(_softplus(operation, x))


def _elu(operation, x):
    return ops.relu(x) + ops.elu(ops.minimum(x, 0.0)) * operation.alpha


def _selu(operation, x):
    # Klambauer et al. 2017, arXiv 1706.02515
    alpha, scale = 1.6732632423543772, 1.0507009873554805
    return ops.relu(x) * scale + ops.elu(ops.minimum(x, 0.0)) * (alpha * scale)


def _glu(operation, x):
    values, gates = ops.split(x, 2, axis=operation.axis)
    return values * ops.sigmoid(gates)


def _square(operation, x):
    return x * x


def _negative(operation, x):
    return x * -1.0


def _sum(operation, x):
    axes = range(len(x.shape)) if operation.axis is None else np.atleast_1d(operation.axis)
    sizes = [x.shape[axis] for axis in axes]
    if None in sizes:
        raise NotImplementedError("a sum over an axis of open size")
    return ops.mean(x, axis=operation.axis, keepdims=operation.keepdims) * float(math.prod(sizes))


def _divide(operation, x1, x2):
    if isinstance(x2, keras.KerasTensor):
        raise NotImplementedError("division by a tensor has no integer kernel")
    return x1 * (1.0 / np.asarray(x2, "float32"))


def _power(operation, x1, x2):
    if not isinstance(x2, (int, float)) or x2 != 2:
        raise NotImplementedError(f"a power other than 2: {x2!r}")
    return x1 * x1


def _moments(operation, x):
    mean = ops.mean(x, axis=operation.axes, keepdims=True)
    centered = x - mean
    variance = ops.mean(centered * centered, axis=operation.axes, keepdims=operation.keepdims)
    if not operation.keepdims:
        mean = ops.squeeze(mean, axis=operation.axes)
    return mean, variance


def _layer_norm(operation, x, gamma=None, beta=None):
    axes = _axes(operation.axis)
    return _scaled(normalized(x, axes, operation.epsilon), axes, gamma, beta)


def _rms_norm(operation, x, scale=None):
    axes = _axes(operation.axis)
    return _scaled(normalized(x, axes, operation.epsilon, centered=False), axes, scale, None)


def _layer_norm_of_few(operation, x, gamma=None, beta=None):
    axes = _axes(operation.axis)
    if not _few(x, axes):
        return _layer_norm(operation, x, gamma, beta)
    return _scaled(normalized_few(x, operation.epsilon), axes, gamma, beta)


def _rms_norm_of_few(operation, x, scale=None):
    axes = _axes(operation.axis)
    if not _few(x, axes):
        return _rms_norm(operation, x, scale)
    return _scaled(normalized_few(x, operation.epsilon, centered=False), axes, scale, None)


def _few(x, axes) -> bool:
    last = [axis % len(x.shape) for axis in axes] == [len(x.shape) - 1]
    return last and x.shape[-1] is not None and 1 < x.shape[-1] <= _FEW


def _scaled(x, axes, gamma, beta):
    rank = len(x.shape)
    if [axis % rank for axis in axes] == [rank - 1] and gamma is not None and beta is not None:
        return affine(x, gamma, beta)
    shape = [x.shape[a] if a in {b % rank for b in axes} else 1 for a in range(rank)]
    if gamma is not None:
        x = x * ops.reshape(gamma, shape)
    # In this order: x + beta is a BiasAdd to Keras, which the converter has along the last axis.
    return x if beta is None else ops.reshape(beta, shape) + x


def _batch_norm(operation, x, mean, variance, offset=None, scale=None):
    if operation.axis not in (-1, len(x.shape) - 1):
        raise NotImplementedError("a BatchNormalization over another axis than the last")
    factor = ops.rsqrt(variance + operation.epsilon)
    factor = factor if scale is None else factor * scale
    shift = -mean * factor
    return affine(x, factor, shift if offset is None else shift + offset)


def affine(x, factor, shift):
    """`x * factor + shift` per channel, the last axis: in LiteRT one depthwise 1×1 convolution."""
    channels, rank = x.shape[-1], len(x.shape)
    inner = list(x.shape[1:-1])
    if None in inner or channels is None:
        raise NotImplementedError("an input of open shape")
    as_image = [-1, *([1, 1] if rank == 2 else [inner[0], math.prod(inner[1:])]), channels]
    y = x if rank == 4 else ops.reshape(x, as_image)
    kernel = ops.reshape(factor, (1, 1, channels, 1))
    y = ops.depthwise_conv(y, kernel, strides=1, padding="valid", data_format="channels_last")
    y = y + ops.reshape(shift, (1, 1, 1, channels))
    return y if rank == 4 else ops.reshape(y, (-1, *x.shape[1:]))


def _attention(operation, query, key, value, bias=None, mask=None, scale=None):
    if operation.attn_logits_soft_cap is not None:
        raise NotImplementedError("attention with a soft cap")
    heads, shared = query.shape[2], key.shape[2]
    if shared not in (1, heads):
        key, value = (ops.repeat(x, heads // shared, axis=2) for x in (key, value))
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else float(scale)
    scores = ops.matmul(ops.transpose(query, (0, 2, 1, 3)), ops.transpose(key, (0, 2, 3, 1)))
    scores = scores * scale
    if bias is not None:
        scores = scores + bias
    if operation.is_causal:
        if None in scores.shape[2:]:
            raise NotImplementedError("a causal mask over a length that is left open")
        causal = np.tri(*scores.shape[2:], dtype=bool)[None, None]
        mask = causal if mask is None else ops.logical_and(mask, causal)
    if mask is not None:
        scores = ops.where(mask, scores, HIDDEN)
    outputs = ops.matmul(ops.softmax(scores, axis=-1), ops.transpose(value, (0, 2, 1, 3)))
    return ops.transpose(outputs, (0, 2, 1, 3))


def _einsum(operation, x, y):
    return einsum(operation.subscripts, x, y)


def einsum(subscripts: str, x, y, bias=None, activation=None):
    """`activation(einsum(subscripts, x, y) + bias)` as one matrix product between reshapes.

    Args:
        subscripts: Of two operands; `...` stands for leading axes of the first.
        x: First operand.
        y: Second operand; a kernel if it shares no axis with both `x` and the output.
        bias: Is added along the output axes that come from `y` alone. Defaults to `None`.
        activation: Defaults to `None`.
    """
    operands, out = subscripts.replace(" ", "").split("->")
    first, second = operands.split(",")
    spare = iter("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    if "..." in first:
        dots = "".join(next(spare) for _ in range(len(x.shape) - len(first) + 3))
        first, out = first.replace("...", dots), out.replace("...", dots)
    if "." in first + second + out:
        raise NotImplementedError(f"the equation {subscripts!r}")
    batch = [a for a in first if a in second and a in out]
    summed = [a for a in first if a in second and a not in out]
    left = [a for a in first if a not in second]
    right = [a for a in second if a not in first]
    if {*left, *right} - set(out) or len({*first}) < len(first) or not summed:
        raise NotImplementedError(f"the equation {subscripts!r}")
    sizes = dict(zip(first, x.shape, strict=True))
    sizes |= {a: n for a, n in zip(second, y.shape, strict=True) if n is not None}

    def size(axes):
        return None if any(sizes[a] is None for a in axes) else math.prod(sizes[a] for a in axes)

    x = _transposed(x, first, [*batch, *left, *summed])
    y = _transposed(y, second, [*batch, *summed, *right])
    rows = [sizes[a] for a in left]
    if len(summed) > 1 or batch:
        x = _reshaped(
            x, [*(sizes[a] for a in batch), *([size(left)] if batch else rows), size(summed)]
        )
    y = _reshaped(y, [*(sizes[a] for a in batch), size(summed), size(right)])
    product = ops.matmul(x, y)
    if bias is not None:
        product = product + ops.reshape(bias, (-1,))
    product = product if activation is None else activation(product)
    product = _reshaped(product, [sizes[a] for a in [*batch, *left, *right]])
    return _transposed(product, "".join([*batch, *left, *right]), list(out))


def _transposed(x, axes: str, order: list[str]):
    return x if list(axes) == order else ops.transpose(x, [axes.index(a) for a in order])


def _reshaped(x, shape: list[int | None]):
    if shape.count(None) > 1:
        raise NotImplementedError("an input with several axes of open size")
    shape = tuple(-1 if n is None else n for n in shape)
    return (
        x
        if len(shape) == len(x.shape) and shape[1:] == tuple(x.shape)[1:]
        else ops.reshape(x, shape)
    )


def _axes(axis) -> list[int]:
    return [int(each) for each in np.atleast_1d(axis)]


# The length of more values leaves too few of 8 bits to each.
_FEW = 16
_NORMALIZATIONS_OF_FEW = {"LayerNorm": _layer_norm_of_few, "RMSNorm": _rms_norm_of_few}
_EXPANSIONS = {
    "BatchNorm": _batch_norm,
    "Divide": _divide,
    "DotProductAttention": _attention,
    "Einsum": _einsum,
    "Elu": _elu,
    "Glu": _glu,
    "HardSigmoid": _hard_sigmoid,
    "HardTanh": _hard_tanh,
    "LayerNorm": _layer_norm,
    "LogSigmoid": _log_sigmoid,
    "Mish": _mish,
    "Moments": _moments,
    "Negative": _negative,
    "Normalize": _normalize,
    "Power": _power,
    "RMSNorm": _rms_norm,
    "ReLU": _relu,
    "Selu": _selu,
    "Silu": _silu,
    "Softplus": _softplus,
    "Square": _square,
    "Sum": _sum,
    "TanhShrink": _tanh_shrink,
    "TrueDivide": _divide,
}

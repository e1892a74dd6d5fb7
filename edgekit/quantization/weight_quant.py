"""Rounding a kernel to the integer grid LiteRT stores, with straight-through gradients."""

import math

import keras
from keras import ops

# A channel's range is kept above this share of the tensor's largest weight. Without it a
# channel pruned to zero gets a scale of nearly nothing and its bias overflows int32.
_SMALLEST_RANGE = 2.0**-16
_NEVER_ZERO = 1e-7


def quantize_kernel(
    kernel: keras.KerasTensor, channel_axes: tuple[int, ...] | None, bits: int = 8
) -> keras.KerasTensor:
    """The kernel as its symmetric, narrow-range integers would give it back.

    Example:
        >>> quantize_kernel(conv.kernel, channel_axes=(-1,))    # one scale per filter
        >>> quantize_kernel(dense.kernel, channel_axes=None)    # one scale

    Args:
        kernel: Tensor of any rank.
        channel_axes: The trailing axes that count the output channels, each channel with a
            scale of its own; None for one scale.
        bits: Width of the integers. Defaults to `8`: −127 to 127.

    Returns:
        A tensor of the same shape. Gradients pass through unchanged.

    Source: LiteRT 8-bit quantization specification; Jacob et al. 2018, arXiv 1712.05877.
    """
    if channel_axes is None:
        limit = ops.maximum(ops.max(ops.abs(kernel)), _NEVER_ZERO)
        return _fake_quant(kernel, limit, bits, axis=None)
    # TensorFlow's op wants the channels as the last axis.
    channels = math.prod(kernel.shape[axis] for axis in channel_axes)
    flat = ops.reshape(kernel, (*kernel.shape[: -len(channel_axes)], channels))
    limits = ops.max(ops.abs(flat), axis=list(range(len(flat.shape) - 1)))
    limits = ops.maximum(limits, ops.maximum(ops.max(limits), _NEVER_ZERO) * _SMALLEST_RANGE)
    return ops.reshape(_fake_quant(flat, limits, bits, axis=-1), kernel.shape)


def _fake_quant(values, limits, bits, axis):
    limits = ops.stop_gradient(limits)
    return keras.quantizers.fake_quant_with_min_max_vars(
        values, -limits, limits, num_bits=bits, narrow_range=True, axis=axis
    )

"""Rounding a kernel to the integer grid LiteRT stores, with straight-through gradients."""

import math

import keras
from keras import ops

# A scale that is too small makes trouble on the device: the bias, an int32 in units of it,
# overflows, or the kernel's multiplier leaves the range XNNPACK takes. So a range is kept above
# these shares of the bias and of the tensor's largest weight. Both are far below what 8 bits
# of output can show; they matter for channels that were pruned to zero.
_SHARE_OF_BIAS = 2.0**-14
_SHARE_OF_LARGEST = 2.0**-16


def quantize_kernel(
    kernel: keras.KerasTensor,
    channel_axes: tuple[int, ...] | None,
    bias: keras.KerasTensor | None = None,
    bits: int = 8,
) -> keras.KerasTensor:
    """The kernel as its symmetric, narrow-range integers would give it back.

    Example:
        >>> quantize_kernel(conv.kernel, channel_axes=(-1,))    # one scale per filter
        >>> quantize_kernel(dense.kernel, channel_axes=None)    # one scale

    Args:
        kernel: Tensor of any rank.
        channel_axes: The trailing axes that count the output channels, each channel with a
            scale of its own; None for one scale.
        bias: What is added per output channel, `(channels,)`: a scale is kept large enough to
            count it in int32. Defaults to `None`.
        bits: Width of the integers. Defaults to `8`: −127 to 127.

    Returns:
        A tensor of the same shape. Gradients pass through unchanged.

    Source: LiteRT 8-bit quantization specification; Jacob et al. 2018, arXiv 1712.05877.
    """
    if channel_axes is None:
        return _fake_quant(kernel, _limits(kernel, None, bias), bits, axis=None)
    # TensorFlow's op wants the channels as the last axis.
    channels = math.prod(kernel.shape[axis] for axis in channel_axes)
    flat = ops.reshape(kernel, (*kernel.shape[: -len(channel_axes)], channels))
    limits = _limits(flat, list(range(len(flat.shape) - 1)), bias)
    return ops.reshape(_fake_quant(flat, limits, bits, axis=-1), kernel.shape)


def _limits(kernel, axes, bias):
    """Largest magnitude to be stored, per channel (`axes` are the others) or in all."""
    limits = ops.max(ops.abs(kernel), axis=axes)
    largest = ops.max(limits)
    limits = ops.maximum(limits, ops.where(largest > 0, largest, 1.0) * _SHARE_OF_LARGEST)
    if bias is not None:
        size = ops.abs(bias) if axes is not None else ops.max(ops.abs(bias))
        limits = ops.maximum(limits, ops.cast(size, limits.dtype) * _SHARE_OF_BIAS)
    return limits


def _fake_quant(values, limits, bits, axis):
    limits = ops.stop_gradient(limits)
    return keras.quantizers.fake_quant_with_min_max_vars(
        values, -limits, limits, num_bits=bits, narrow_range=True, axis=axis
    )

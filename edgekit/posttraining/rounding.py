"""Kernels as the integers of a file will give them back: to the nearest of symmetric steps."""

import keras
import numpy as np

from edgekit.core.arguments import is_whole
from edgekit.core.kernel_layout import kernel_layout, kernel_of


def rounded_kernel(layer: keras.layers.Layer, bits: int, per_channel: bool = True) -> np.ndarray:
    """The layer's kernel rounded to the nearest step.

    Args:
        layer: A built convolution or Dense layer.
        bits: 2 to 8.
        per_channel: Whether each output channel has its own step, or all have one.
    """
    kernel = np.asarray(kernel_of(layer), "float32")
    axes = kernel_layout(layer).channel_axes if per_channel else ()
    step = kernel_steps(kernel, axes, bits)
    return np.round(kernel / step) * step


def kernel_steps(kernel: np.ndarray, channel_axes: tuple[int, ...], bits: int) -> np.ndarray:
    """The steps that reach each channel's largest weight, shaped to broadcast with the kernel."""
    channels = {axis % kernel.ndim for axis in channel_axes}
    others = tuple(axis for axis in range(kernel.ndim) if axis not in channels)
    largest = np.abs(kernel).max(axis=others, keepdims=True)
    levels = 2 ** (bits - 1) - 1
    return np.where(largest > 0, largest / levels, 1.0).astype("float32")


def check_bits(bits: int) -> None:
    """Raise a ValueError unless `bits` is a width that kernels are rounded to."""
    if not is_whole(bits) or not 2 <= bits <= 8:
        raise ValueError(f"`bits` must be a whole number from 2 to 8. Received: bits={bits!r}")

"""Bilinear resizing of integers, as XNNPACK computes it."""

from typing import Any

import numpy as np
from keras import ops

# XNNPACK counts the places between two pixels in so many parts.
_PARTS = 2048
# Lifts a tie above what float32 makes of it.
_SHARE_OF_STEP = 2.0**-14


def resized(values: Any, size: tuple[int, int], step: Any) -> Any:
    """Images of integers at another size, before they are rounded to integers again.

    Args:
        values: Multiples of `step`, `(batch, height, width, channels)`.
        size: The height and width to give them.
        step: Of the integers; above zero.

    Returns:
        float32, `(batch, *size, channels)`.

    Source: XNNPACK, src/indirection.c, xnn_indirection_init_resize_bilinear2d_hwc_q11;
    src/s8-ibilinear.
    """
    rows, columns = (_weights(n, to) for n, to in zip(values.shape[1:3], size, strict=True))
    integers = ops.round(ops.cast(values, "float32") / step)
    across = ops.einsum("bhwc,vw->bhvc", integers, columns)  # below 2**24, so exact
    return (ops.einsum("bhvc,uh->buvc", across, rows) / _PARTS**2 + _SHARE_OF_STEP) * step


def _weights(count: int, to: int) -> np.ndarray:
    """What each of `count` places has in each of `to`, in parts."""
    scale, half = np.float32(count) / np.float32(to), np.float32(0.5)
    places = (np.arange(to, dtype="float32") + half) * scale - half
    places = np.clip(places, 0, np.float32(count - 1))
    first = places.astype(int)
    second = np.minimum(first + 1, count - 1)
    parts = np.rint((places - first.astype("float32")) * np.float32(_PARTS))
    weights = np.zeros((to, count), "float32")
    weights[np.arange(to), first] += _PARTS - parts
    weights[np.arange(to), second] += parts
    return weights

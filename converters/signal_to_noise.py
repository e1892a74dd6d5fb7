"""Signal to noise: how much of what was to come out did come out."""

import math

import numpy as np


def signal_to_noise(expected: np.ndarray, found: np.ndarray) -> float:
    """Power of the right values over that of the error, in dB; never NaN.

    It is taken over the elements that are finite in `expected`: what has no right value cannot
    be compared.

    Example:
        >>> signal_to_noise(np.ones(4), np.full(4, 1.1))
        20.0

    Args:
        expected: The right values, numbers of any shape.
        found: The values to be judged, of the same shape.

    Returns:
        The ratio; `inf` where nothing differs or nothing is finite in `expected`; `-inf` where a
        value is NaN or infinite that should not be, and where there is noise without a signal.
    """
    return decibel(noise_to_signal(expected, found))


def noise_to_signal(expected: np.ndarray, found: np.ndarray) -> float:
    """The power of the error as a share of that of the right values, which may be added up.

    Args:
        expected: As in `signal_to_noise`.
        found: As in `signal_to_noise`.

    Returns:
        The share; `0` where nothing differs, `inf` where `signal_to_noise` gives `-inf`.
    """
    inside = np.isfinite(expected)
    right = np.asarray(expected)[inside].astype("float64")
    values = np.asarray(found)[inside].astype("float64")
    if not np.isfinite(values).all():
        return math.inf
    # In units of the largest value: squares of float64 go beyond its range.
    unit = max(np.abs(right).max(initial=0.0), np.abs(values).max(initial=0.0)) or 1.0
    noise = float(np.sum((values / unit - right / unit) ** 2))
    if noise == 0.0:
        return 0.0
    signal = float(np.sum((right / unit) ** 2))
    return noise / signal if signal > 0.0 else math.inf


def decibel(noise: float) -> float:
    """A share of noise as a signal-to-noise ratio in dB.

    Args:
        noise: From `noise_to_signal`, or a sum of such.
    """
    if noise == 0.0:
        return math.inf
    return 0.0 - 10 * math.log10(noise) if noise < math.inf else -math.inf

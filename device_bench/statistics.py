"""The statistics of a benchmark: medians over processes, with intervals by bootstrap."""

from collections.abc import Sequence

import numpy as np

_RESAMPLES = 2000
# A difference below this share is not called one, however sure it is.
_SMALLEST_DIFFERENCE = 0.01


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the median of `values`, by resampling them.

    Pass one value per process: runs within a process are not independent of each other.

    Source: Efron & Tibshirani 1993, percentile bootstrap.
    """
    values = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[picks], axis=1), [2.5, 97.5])
    return float(low), float(high)


def ratio_interval(
    values: Sequence[float], reference: Sequence[float], seed: int = 0
) -> tuple[float, float, float]:
    """`(ratio, low, high)` of `values` over `reference`, paired process by process."""
    ratios = np.asarray(values, dtype=float) / np.asarray(reference, dtype=float)
    return (float(np.median(ratios)), *median_interval(ratios, seed))


def differs(low: float, high: float) -> bool:
    """Whether a ratio's interval says that there is a difference worth the name."""
    return high < 1 - _SMALLEST_DIFFERENCE or low > 1 + _SMALLEST_DIFFERENCE

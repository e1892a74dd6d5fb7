"""What answers look like that are probabilities."""

import numpy as np

# How far the integer probabilities of a sample are from their sum of 1, and small ones from 0.
_SLACK = 0.02
# Values that have to lie on a grid, beside 0 and 1, until it is taken for one.
_ON_GRID = 8
# The grids that LiteRT prescribes for softmax and logistic: int8 and int16.
_PRESCRIBED = (2.0**-8, 2.0**-15)


def sums_to_one(values: np.ndarray) -> bool:
    """Whether all values are those of a softmax along the last axis."""
    if values.ndim < 2 or values.shape[-1] < 2 or values.dtype.kind != "f" or not values.size:
        return False
    sums = np.abs(values.sum(axis=-1, dtype="float64") - 1).max()
    return bool(values.min() >= -_SLACK / values.shape[-1] and sums < _SLACK)


def between_zero_and_one(values: np.ndarray) -> bool:
    """Whether all values could be those of a sigmoid, and some is neither 0 nor 1."""
    if values.dtype.kind != "f" or not values.size:
        return False
    inside = (values > 0) & (values < 1)
    return bool(values.min() >= 0 and values.max() <= 1 and inside.any())


def grid_step(values: np.ndarray) -> float:
    """The step of the integer grid that all values are on; 0 where they are floats.

    Example:
        >>> grid_step(np.array([0.0, 3 / 256, 253 / 256]))
        0.00390625

    Args:
        values: Answers of a model.
    """
    if values.dtype.kind != "f" or not np.isfinite(values).all():
        return 0.0
    if values.dtype.itemsize < 4:  # all of float16 is on a grid; integer files give float32
        return 0.0
    distinct = np.unique(values.astype("float64"))
    if not ((distinct > 0) & (distinct < 1)).any():
        return 0.0
    for step in _PRESCRIBED:
        if _on_grid(distinct, step):
            return step
    gaps = np.diff(distinct)
    if len(gaps) >= _ON_GRID and _on_grid(distinct - distinct[0], gaps.min()):
        return float(gaps.min())
    return 0.0


def _on_grid(values: np.ndarray, step: float) -> bool:
    places = values / step
    apart = np.abs(places - np.round(places)).max() < 1e-3
    return bool(apart and (np.round(places) != 0)[values != 0].all())

"""Which groups stay: exact choices by score."""

import numpy as np


def drop_count(share: float, size: int, least: int = 1) -> int:
    """How many of `size` go for a share: the nearest whole number that leaves `least`."""
    return min(round(share * size), size - least)


def keep_highest(scores: np.ndarray, drop: int) -> np.ndarray:
    """True for the scores that stay; exactly `drop` of the lowest go.

    Example:
        >>> keep_highest(np.array([0.1, 2.0, 0.3, 0.0]), 2)
        array([False,  True,  True, False])

    Args:
        scores: Any shape.
        drop: How many go, 0 to all.

    Returns:
        Boolean array of the same shape. Ties are broken by position: the first go.
    """
    if drop <= 0:
        return np.ones(scores.shape, dtype=bool)
    flat = scores.ravel()
    # Partitioning is slow where many are equal, as those of what is gone already are.
    lowest = flat.min()
    rest = flat[np.flatnonzero(flat != lowest)]
    place = drop - (flat.size - rest.size) - 1
    limit = np.partition(rest, place)[place] if place >= 0 else lowest
    if np.isnan(limit):  # of a training that went wrong: they count as highest
        keep, none = np.zeros(flat.size, dtype=bool), np.flatnonzero(np.isnan(flat))
        keep[none[drop - (flat.size - none.size) :]] = True
        return keep.reshape(scores.shape)
    keep = ~(flat <= limit)
    spare = flat.size - drop - int(np.count_nonzero(keep))
    if spare:
        keep[np.flatnonzero(flat == limit)[-spare:]] = True
    return keep.reshape(scores.shape)


def keep_highest_by_size(
    scores: np.ndarray, sizes: np.ndarray, drop: float, least: int = 0
) -> np.ndarray:
    """True for the groups that stay, where groups have different sizes.

    The lowest go, as many as bring the weights in them nearest to `drop`.

    Args:
        scores: One per group, any shape.
        sizes: Weights in each, of the same shape.
        drop: How many weights shall go.
        least: How many groups stay in any case. Defaults to `0`.
    """
    order = np.argsort(scores, axis=None, kind="stable")
    gone = np.concatenate([[0], np.cumsum(sizes.ravel()[order])])
    count = int(np.argmin(np.abs(gone - drop)[: gone.size - least]))
    keep = np.ones(scores.size, dtype=bool)
    keep[order[:count]] = False
    return keep.reshape(scores.shape)

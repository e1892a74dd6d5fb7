"""Which weights stay: exact-size masks by magnitude."""

from collections.abc import Sequence

import numpy as np


def magnitude_mask(weights: np.ndarray, sparsity: float) -> np.ndarray:
    """True for the weights that stay; exactly `round(sparsity * size)` of the smallest go.

    Example:
        >>> magnitude_mask(np.array([0.1, -2.0, 0.3, 0.0]), 0.5)
        array([False,  True,  True, False])

    Args:
        weights: Any shape.
        sparsity: Share to remove, 0 to 1.

    Returns:
        Boolean array of the same shape. Ties are broken by position, so the count is exact.

    Source: Han et al. 2015, arXiv 1506.02626.
    """
    return _keep_largest(np.abs(weights).ravel(), sparsity).reshape(weights.shape)


def global_magnitude_masks(weights: Sequence[np.ndarray], sparsity: float) -> list[np.ndarray]:
    """One ranking over all tensors: the smallest go wherever they are.

    Returns:
        A boolean array for each tensor; together exactly `round(sparsity * total size)` False.
    """
    keep = _keep_largest(np.concatenate([np.abs(w).ravel() for w in weights]), sparsity)
    ends = np.cumsum([w.size for w in weights])[:-1]
    return [part.reshape(w.shape) for part, w in zip(np.split(keep, ends), weights, strict=True)]


def _keep_largest(scores: np.ndarray, sparsity: float) -> np.ndarray:
    drop = round(sparsity * scores.size)
    keep = np.ones(scores.size, dtype=bool)
    if drop:
        keep[np.argpartition(scores, drop - 1)[:drop]] = False
    return keep

"""Exact k-means in one dimension, on sorted weights with running sums."""

import numpy as np

_MOST_ROUNDS = 4000
# A round that gains less of the error than this is the last.
_LEAST_GAIN = 1e-6


class SortedWeights:
    """Weights in ascending order, of which any run's sum and squares cost two look-ups each.

    Args:
        weights: Of any shape.
    """

    def __init__(self, weights: np.ndarray):
        self.values = np.sort(np.asarray(weights, "float32"), axis=None)
        exact = self.values.astype("float64")
        middle = np.searchsorted(self.values, 0.0)
        self._sums = _running(exact, middle)
        self._squares = _running(exact * exact, middle)

    def distinct(self, most: int) -> np.ndarray | None:
        """The distinct values, ascending; None if there are more than `most`."""
        found = self.values[:1]
        while found.size and len(found) <= most:
            place = np.searchsorted(self.values, found[-1], side="right")
            if place == len(self.values):
                return found
            found = np.append(found, self.values[place])
        return None if found.size else found

    def ends(self, centroids: np.ndarray) -> np.ndarray:
        """Where the members of each centroid end and those of the next begin: `(k + 1,)`."""
        # In the dtype of the values, or all of them are converted to compare.
        middles = ((centroids[1:] + centroids[:-1]) / 2).astype("float32")
        inner = np.searchsorted(self.values, middles)
        return np.concatenate([[0], inner, [len(self.values)]])

    def moments(self, ends: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Count, sum and sum of squares of each run."""
        return np.diff(ends), np.diff(self._sums[ends]), np.diff(self._squares[ends])


def lloyd(weights: SortedWeights, start: np.ndarray, zero: bool = False) -> np.ndarray:
    """Centroids that are the means of their members, from a start on.

    A centroid without members moves into the cluster with the largest error, so none is lost
    while there are enough distinct weights.

    Example:
        >>> lloyd(SortedWeights([1.0, 1.2, 3.0]), np.array([0.0, 4.0]))
        array([1.1, 3. ])

    Args:
        weights: What to cluster.
        start: `(k,)` first centroids.
        zero: Whether the centroid nearest to zero starts there and stays. Defaults to `False`.

    Returns:
        `(k,)` ascending centroids in float64.

    Source: Lloyd 1982, "Least squares quantization in PCM", doi 10.1109/TIT.1982.1056489.
    """
    centroids = np.sort(np.asarray(start, "float64"))
    if zero:
        centroids[np.argmin(np.abs(centroids))] = 0.0
        centroids.sort()
    before = np.inf
    for _ in range(_MOST_ROUNDS):
        ends = weights.ends(centroids)
        counts, sums, squares = weights.moments(ends)
        means = np.divide(sums, counts, out=centroids.copy(), where=counts > 0)
        held = np.searchsorted(centroids, 0.0) if zero else -1
        if zero:
            means[held] = 0.0
        errors = squares - 2 * means * sums + counts * means**2
        total = float(errors.sum())
        lost = np.flatnonzero(counts == 0)
        lost = lost[lost != held]
        moved = _revive(weights, means, ends, errors, lost) if len(lost) else means
        centroids = np.sort(moved)
        if not len(lost) and total >= before * (1 - _LEAST_GAIN):
            break
        before = total
    return centroids


def _revive(weights, means, ends, errors, lost) -> np.ndarray:
    """Each lost centroid goes to one side of a cluster with a large error."""
    moved = means.copy()
    largest = np.argsort(-errors, kind="stable")[: len(lost)]
    for gone, cluster in zip(lost, largest, strict=False):
        first, last = ends[cluster], ends[cluster + 1]
        if last - first < 2 or errors[cluster] <= 0:
            break
        # The farther end, so that the two part.
        low, high = weights.values[first], weights.values[last - 1]
        moved[gone] = low if means[cluster] - low > high - means[cluster] else high
    return moved


def _running(values: np.ndarray, middle: int) -> np.ndarray:
    """Running sums outward from `middle`, where the smallest are.

    Large weights come last on either side, and take no digits from the sums of small ones.
    """
    below = -np.cumsum(values[:middle][::-1])[::-1]
    return np.concatenate([below, [0.0], np.cumsum(values[middle:])])

"""Weights divided into clusters that share a value each."""

from dataclasses import dataclass

import numpy as np

from edgekit.clustering.initializers import INITIALIZERS
from edgekit.clustering.lloyd import SortedWeights, lloyd

_TERNARY_THRESHOLD = 0.7
# Of random float32 weights a few are equal by chance, of many millions more.
_SHARED, _MOST_SHARED = 0.9, 2**16


@dataclass(frozen=True)
class Clusters:
    """Which value each weight has.

    Attributes:
        codebook: `(values,)` float32, those of one group of channels after those of another.
        indices: int32 in the shape of the weights: each one's place in the codebook.
        mirrors: For values that are each other's negative, the place of the other one; a value's
            own place where it has none. None without any.
        owners: The group that each value belongs to. None for a single group.
    """

    codebook: np.ndarray
    indices: np.ndarray
    mirrors: np.ndarray | None = None
    owners: np.ndarray | None = None

    @property
    def values(self) -> np.ndarray:
        """The weights, each with its cluster's value."""
        return self.codebook[self.indices]

    @property
    def counts(self) -> np.ndarray:
        """How many weights each value has."""
        return np.bincount(self.indices.ravel(), minlength=len(self.codebook))

    @property
    def shared(self) -> bool:
        """Whether weights that are not zero have values in common, and not by chance alone."""
        counts = self.counts[self.codebook != 0]
        return 0 < len(counts) <= min(_SHARED * int(np.sum(counts)), _MOST_SHARED)


def cluster(
    weights: np.ndarray,
    count: int | str,
    init: str = "linear",
    keep_zeros: bool = True,
    groups: np.ndarray | None = None,
    chance: np.random.Generator | None = None,
) -> Clusters:
    """Divide weights into clusters: k-means to its end, from a start.

    Example:
        >>> found = cluster(kernel, 16)
        >>> found.codebook.shape, found.indices.shape
        ((16,), (784, 300))

    Args:
        weights: Of any shape.
        count: How many distinct values at most, zero included, 2 or more; or `"binary"` (−a and
            a), or `"ternary"` (−a, 0 and a).
        init: `"linear"`, `"density"`, `"random"` or `"kmeans++"`. Defaults to `"linear"`.
        keep_zeros: Whether weights that are zero stay zero. Defaults to `True`.
        groups: The group of each weight along one or more axes, broadcast to the shape; each
            group has a codebook of its own. Defaults to `None`: one for all.
        chance: For the inits that draw. Defaults to `None`: seed 0.
    """
    weights = np.asarray(weights, "float32")
    chance = chance or np.random.default_rng(0)
    if groups is None:
        return _cluster_group(weights, count, init, keep_zeros, chance)
    members = _members(np.broadcast_to(groups, weights.shape))
    flat, indices = weights.ravel(), np.empty(weights.size, "int32")
    parts = [_cluster_group(flat[own], count, init, keep_zeros, chance) for own in members]
    sizes = [len(part.codebook) for part in parts]
    firsts = np.cumsum([0, *sizes[:-1]])
    for own, part, first in zip(members, parts, firsts, strict=True):
        indices[own] = part.indices + first
    mirrors = None
    if parts[0].mirrors is not None:
        mirrors = np.concatenate([p.mirrors + f for p, f in zip(parts, firsts, strict=True)])
    codebook = np.concatenate([part.codebook for part in parts])
    owners = np.repeat(np.arange(len(parts)), sizes)
    return Clusters(codebook, indices.reshape(weights.shape), mirrors, owners)


def as_they_are(weights: np.ndarray) -> Clusters:
    """The clusters that weights form already: each distinct value is one."""
    weights = np.asarray(weights, "float32") + 0.0  # -0.0 and 0.0 are one value
    codebook, indices = np.unique(weights, return_inverse=True)
    symmetric = len(codebook) in (2, 3) and np.array_equal(codebook, -codebook[::-1])
    mirrors = np.arange(len(codebook))[::-1] if symmetric else None
    return Clusters(codebook, indices.reshape(weights.shape).astype("int32"), mirrors)


def assign(weights: np.ndarray, centroids: np.ndarray) -> np.ndarray:
    """The place of the nearest of ascending centroids, int32 in the shape of the weights."""
    middles = ((centroids[1:].astype("float64") + centroids[:-1]) / 2).astype("float32")
    return np.searchsorted(middles, weights, side="right").astype("int32")


def reassign(weights: np.ndarray, clusters: Clusters) -> np.ndarray:
    """The place of the nearest value, among those of each weight's own group.

    Args:
        weights: In the shape of `clusters.indices`.
        clusters: Who belongs where so far.
    """
    owners = clusters.owners
    if owners is None:
        owners = np.zeros(len(clusters.codebook), int)
    flat, found = weights.ravel(), np.empty(weights.size, "int32")
    for places, own in zip(_members(owners), _members(owners[clusters.indices]), strict=True):
        order = places[np.argsort(clusters.codebook[places], kind="stable")]
        found[own] = order[assign(flat[own], clusters.codebook[order])]
    return found.reshape(weights.shape)


def _members(groups: np.ndarray) -> list[np.ndarray]:
    """The flat places of each group's members, in one pass however many groups there are."""
    order = np.argsort(groups, axis=None, kind="stable")
    starts = np.flatnonzero(np.diff(groups.ravel()[order])) + 1
    return np.split(order, starts)


def _cluster_group(weights, count, init, keep_zeros, chance) -> Clusters:
    if count == "binary":
        return _binary(weights)
    if count == "ternary":
        return _ternary(weights, keep_zeros)
    kept = keep_zeros and bool((weights == 0).any())
    spread = SortedWeights(weights[weights != 0] if kept else weights)
    few = spread.distinct(count - kept)
    if few is not None:
        centroids = np.unique(np.append(few, np.zeros(int(kept), "float32")))
    else:
        start = INITIALIZERS[init](spread, count, chance)
        centroids = lloyd(spread, start, zero=kept)
    codebook = centroids.astype("float32")
    indices = assign(weights, codebook)
    if kept:
        indices[weights == 0] = np.searchsorted(codebook, 0.0)
    return Clusters(codebook, indices)


def _binary(weights: np.ndarray) -> Clusters:
    """One magnitude and a sign, which is where the error is least: the mean magnitude.

    Source: Rastegari et al. 2016, XNOR-Net, arXiv 1603.05279.
    """
    size = np.mean(np.abs(weights), dtype="float64").astype("float32")
    codebook = np.array([-size, size], "float32")
    return Clusters(codebook, (weights >= 0).astype("int32"), np.array([1, 0]))


def _ternary(weights: np.ndarray, keep_zeros: bool) -> Clusters:
    """One magnitude, a sign, and zero for what is small.

    Source: Li et al. 2016, Ternary Weight Networks, arXiv 1605.04711.
    """
    sizes = np.abs(weights)
    counted = sizes[sizes > 0] if keep_zeros else sizes
    threshold = _TERNARY_THRESHOLD * np.mean(counted, dtype="float64") if counted.size else 0.0
    large = sizes > threshold
    size = np.mean(sizes[large], dtype="float64") if large.any() else 0.0
    codebook = np.array([-size, 0.0, size], "float32")
    indices = (np.sign(weights) * large).astype("int32") + 1
    return Clusters(codebook, indices, np.array([2, 1, 0]))

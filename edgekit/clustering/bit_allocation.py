"""How many clusters each kernel gets, for the least damage within a size."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from edgekit.clustering.clusters import Clusters

BITS = (1, 2, 3, 4, 5, 6, 7, 8)


@dataclass(frozen=True)
class Choice:
    """One number of clusters for one kernel.

    Attributes:
        bits: Two to the power of it is how many there are.
        bytes: What indices and codebook take, at their entropy.
        damage: What the change of the weights adds to the loss, to second order.
    """

    bits: int
    bytes: float
    damage: float


def stored_bytes(clusters: Clusters) -> float:
    """What indices, at their entropy, and the codebook in float32 take."""
    counts = clusters.counts
    shares = counts[counts > 0] / counts.sum()
    entropy = float(-(shares * np.log2(shares)).sum())
    return clusters.indices.size * entropy / 8 + 4 * len(clusters.codebook)


def choice(clusters: Clusters, weights: np.ndarray, curvature: np.ndarray, bits: int) -> Choice:
    """What clusters cost and spoil.

    Args:
        clusters: Of the weights.
        weights: Before they were clustered.
        curvature: Of the loss along each weight: the mean of its squared gradients.
        bits: Of an index.

    Source: the diagonal of the Fisher matrix for the Hessian, as in Dong et al. 2019 (HAWQ),
    arXiv 1905.03696.
    """
    error = np.square(weights - clusters.values, dtype="float64")
    return Choice(bits, stored_bytes(clusters), float((error * curvature).sum() / 2))


def allocate(choices: Sequence[Sequence[Choice]], max_bytes: float) -> list[Choice]:
    """One choice for each kernel: the least damage in all within `max_bytes`.

    From the smallest choices on, the step that spares most damage per byte is taken, as long as
    it fits.

    Args:
        choices: For each kernel.
        max_bytes: For all kernels together.

    Raises:
        ValueError: The smallest choices are larger.

    Source: Shoham & Gersho 1988, "Efficient bit allocation for an arbitrary set of quantizers".
    """
    options = [_hull(found) for found in choices]
    places = [0] * len(options)
    total = sum(found[0].bytes for found in options)
    if total > max_bytes:
        raise ValueError(
            f"`max_bytes` must be at least {int(np.ceil(total)):,}, what two clusters in each "
            f"kernel take. Received: max_bytes={max_bytes:,}"
        )
    while True:
        steps = [
            (_slope(found[place], found[place + 1]), number)
            for number, (found, place) in enumerate(zip(options, places, strict=True))
            if place + 1 < len(found)
            and total + found[place + 1].bytes - found[place].bytes <= max_bytes
        ]
        if not steps:
            return [found[place] for found, place in zip(options, places, strict=True)]
        _, number = max(steps)
        found, place = options[number], places[number]
        total += found[place + 1].bytes - found[place].bytes
        places[number] += 1


def _slope(smaller: Choice, larger: Choice) -> float:
    return (smaller.damage - larger.damage) / (larger.bytes - smaller.bytes)


def _hull(choices: Sequence[Choice]) -> list[Choice]:
    """The choices that are best for some price of a byte, the smallest first."""
    hull: list[Choice] = []
    for found in sorted(choices, key=lambda c: (c.bytes, c.damage)):
        if hull and found.damage >= hull[-1].damage:
            continue
        while len(hull) > 1 and _slope(hull[-2], hull[-1]) <= _slope(hull[-1], found):
            hull.pop()
        hull.append(found)
    return hull

"""Where centroids start: linear, by density, at random, and k-means++."""

from collections.abc import Callable

import numpy as np

from edgekit.clustering.lloyd import SortedWeights

# k-means++ measures every weight against every centroid: a sample of them does.
_SAMPLE = 20_000

Initializer = Callable[[SortedWeights, int, np.random.Generator], np.ndarray]


def linear(weights: SortedWeights, count: int, chance: np.random.Generator) -> np.ndarray:
    """Equal steps between the smallest and the largest weight.

    The few large weights keep centroids near them, which serves accuracy best.

    Source: Han et al. 2015, Deep Compression, arXiv 1510.00149, section 3.2.
    """
    return np.linspace(weights.values[0], weights.values[-1], count)


def density(weights: SortedWeights, count: int, chance: np.random.Generator) -> np.ndarray:
    """Equal steps of the cumulative distribution: as many weights around each.

    Source: Han et al. 2015, arXiv 1510.00149, section 3.2.
    """
    shares = (np.arange(count) + 0.5) / count
    return weights.values[(shares * len(weights.values)).astype(int)]


def random(weights: SortedWeights, count: int, chance: np.random.Generator) -> np.ndarray:
    """Weights drawn at random (Forgy).

    Source: Han et al. 2015, arXiv 1510.00149, section 3.2.
    """
    return chance.choice(weights.values, count, replace=len(weights.values) < count)


def kmeans_plus_plus(weights: SortedWeights, count: int, chance: np.random.Generator):
    """Weights drawn one by one, with chances as their squared distance to the nearest so far.

    Source: Arthur & Vassilvitskii 2007, "k-means++: the advantages of careful seeding".
    """
    values = weights.values.astype("float64")
    if len(values) > _SAMPLE:
        values = chance.choice(values, _SAMPLE, replace=False)
    chosen = [chance.choice(values)]
    distances = (values - chosen[0]) ** 2
    for _ in range(count - 1):
        total = distances.sum()
        shares = distances / total if total > 0 else None
        chosen.append(chance.choice(values, p=shares))
        distances = np.minimum(distances, (values - chosen[-1]) ** 2)
    return np.array(chosen)


INITIALIZERS: dict[str, Initializer] = {
    "linear": linear,
    "density": density,
    "random": random,
    "kmeans++": kmeans_plus_plus,
}

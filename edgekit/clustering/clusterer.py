"""How kernels are clustered: the choices, checked."""

from collections.abc import Mapping, Sequence

import numpy as np

from edgekit.clustering.bit_allocation import BITS, allocate, choice
from edgekit.clustering.clustered_kernel import ClusteredKernel
from edgekit.clustering.clusters import Clusters, cluster
from edgekit.clustering.groups import Granularity, check_granularity
from edgekit.clustering.initializers import INITIALIZERS
from edgekit.core.arguments import check_whole, is_whole
from edgekit.core.selection import value_per_layer

_NAMES = ("binary", "ternary")
_MOST_BITS = 16

Count = int | str


class Clusterer:
    """Divides kernels into clusters as was chosen.

    Args:
        counts: Values of a kernel, `"binary"`, `"ternary"`, or `{regex: one of these}`; None for
            as many as `max_bytes` allows.
        init: See `ek.WeightClustering`.
        keep_zeros: See `ek.WeightClustering`.
        granularity: See `ek.WeightClustering`.
        max_bytes: What all kernels may take together; None with `counts`.
        seed: Of the inits that draw.

    Raises:
        TypeError: A choice of the wrong kind.
        ValueError: A choice out of range.
    """

    def __init__(
        self,
        counts: Count | Mapping[str, Count] | None,
        init: str,
        keep_zeros: bool,
        granularity: Granularity,
        max_bytes: int | None,
        seed: int,
    ):
        if init not in INITIALIZERS:
            raise ValueError(
                f"`init` must be one of {', '.join(INITIALIZERS)}. Received: init={init!r}"
            )
        check_granularity(granularity)
        check_whole("seed", seed, least=0)
        self.counts, self.max_bytes = counts, max_bytes
        self._init, self._keep_zeros, self._granularity = init, keep_zeros, granularity
        self._seed = seed

    def cluster(
        self, kernels: Sequence[ClusteredKernel], curvatures: Sequence[np.ndarray] | None = None
    ) -> list[Clusters]:
        """The clusters of each kernel.

        Args:
            kernels: What to cluster.
            curvatures: Of the loss along each weight, for `max_bytes`.

        Raises:
            ValueError: `max_bytes` is too small.
        """
        if self.max_bytes is None:
            layers = [kernel.layer for kernel in kernels]
            counts = value_per_layer(layers, self.counts, "clusters")
            return [self._clusters(k, counts[k.layer], n) for n, k in enumerate(kernels)]
        tried = [{b: self._clusters(k, 2**b, n) for b in BITS} for n, k in enumerate(kernels)]
        options = [
            [choice(c, kernel.weights, curvature, bits) for bits, c in found.items()]
            for kernel, found, curvature in zip(kernels, tried, curvatures, strict=True)
        ]
        chosen = allocate(options, self.max_bytes)
        return [found[best.bits] for found, best in zip(tried, chosen, strict=True)]

    def _clusters(self, kernel: ClusteredKernel, count: Count, number: int) -> Clusters:
        if not np.isfinite(kernel.weights).all():
            raise ValueError(
                f"weight {kernel.variable.path!r} holds NaN or infinite values: train the model "
                "with a smaller learning rate before it is clustered"
            )
        # By its place, since names count up with each model that a process builds.
        chance = np.random.default_rng([self._seed, number])
        groups = kernel.groups(self._granularity)
        return cluster(kernel.weights, count, self._init, self._keep_zeros, groups, chance)


def checked_counts(clusters, bits) -> Count | Mapping[str, Count] | None:
    """How many values, from `clusters` or `bits`; None for `bits="auto"`.

    Raises:
        TypeError: Neither is given, or one of the wrong kind.
        ValueError: Both are given, or a value out of range.
    """
    if (clusters is None) == (bits is None):
        raise TypeError(
            "give `clusters` (how many values, such as 16) or `bits` (of an index, such as 4). "
            f"Received: clusters={clusters!r}, bits={bits!r}"
        )
    if bits == "auto":
        return None
    given, name = (bits, "bits") if clusters is None else (clusters, "clusters")
    if isinstance(given, Mapping):
        if not given:
            raise ValueError(f"`{name}` must not be an empty dict: {{regex: number}}")
        return {pattern: _checked_count(value, name) for pattern, value in given.items()}
    return _checked_count(given, name)


def _checked_count(value, name: str) -> Count:
    if name == "clusters" and value in _NAMES:
        return value
    least, most = (1, _MOST_BITS) if name == "bits" else (2, 2**_MOST_BITS)
    if not is_whole(value):
        names = "" if name == "bits" else ", 'binary' or 'ternary'"
        raise TypeError(
            f"`{name}` must be a whole number{names}, or {{regex: number}}. "
            f"Received: {name}={value!r}"
        )
    if not least <= value <= most:
        raise ValueError(f"`{name}` must be from {least} to {most}. Received: {name}={value}")
    return 2 ** int(value) if name == "bits" else int(value)

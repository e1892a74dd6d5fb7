"""What callbacks that hold clusters share."""

from collections.abc import Sequence

import numpy as np

from edgekit.clustering.clustered_kernel import ClusteredKernel
from edgekit.clustering.clusters import Clusters
from edgekit.clustering.shared_values import HeldClusters
from edgekit.core.holding_callback import HoldingCallback
from edgekit.core.kept_zeros import KeptZeros
from edgekit.core.kernel_axes import LayerKernel, kernel_axes
from edgekit.core.kernels import select_kernels


class ClusteringCallback(HoldingCallback):
    """A callback with clusters over kernels."""

    def __init__(self):
        super().__init__()
        self._kernels: list[ClusteredKernel] = []
        self._held: HeldClusters | None = None
        self._kept: KeptZeros | None = None
        self._verified = False

    @property
    def codebooks(self) -> dict[str, np.ndarray]:
        """`{kernel path: its values}` of this or the last fit."""
        values = self._begun().codebooks
        return {k.variable.path: v for k, v in zip(self._kernels, values, strict=True)}

    @property
    def indices(self) -> dict[str, np.ndarray]:
        """`{kernel path: the number of each weight's value}` of this or the last fit."""
        numbers = self._begun().indices
        return {k.variable.path: n for k, n in zip(self._kernels, numbers, strict=True)}

    def on_train_begin(self, logs=None):
        self._held = self._kept = None
        self._fit_begins()

    def _holdings(self) -> list[HeldClusters | KeptZeros]:
        return [held for held in (self._held, self._kept) if held is not None]

    def _find_kernels(
        self, layers, depthwise: bool = False, argument: str = "layers"
    ) -> list[ClusteredKernel]:
        selected = select_kernels(self.model, layers, depthwise, argument)
        return [
            ClusteredKernel(layer, kernel, kernel_axes(layer, kernel))
            for layer, kernels in selected.items()
            for kernel in kernels
        ]

    def _hold(
        self, clusters: Sequence[Clusters], sparse: Sequence[LayerKernel] = (), **settings
    ) -> None:
        """Hold the clusters of `self._kernels`, and the zeros of kernels with zeros."""
        variables = [kernel.variable for kernel in self._kernels]
        self._held = HeldClusters(self.model, variables, clusters, **settings)
        if sparse:
            clustered = [k for k in sparse if any(k.variable is v for v in variables)]
            self._kept = KeptZeros(self.model, sparse, by_others=clustered)
        self._verified = False
        self._has_taken_hold()

    def _verify_once(self) -> None:
        """Whether the first step left equal weights equal, as all others will."""
        if self._held is None or self._verified:
            return
        self._verified = True
        if not self._held.holds:
            raise ValueError(
                "the clusters do not hold: another callback changes the same weights in this fit "
                "(prune first, and cluster in a second fit), or the train step was traced before "
                "the clustering or updates weights by other means than optimizer.apply (trace it "
                "within ek.custom_loop)"
            )

    def _begun(self) -> HeldClusters:
        if self._held is None:
            raise ValueError(f"{type(self).__name__}: nothing has been clustered by it yet")
        return self._held

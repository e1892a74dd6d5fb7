"""What callbacks that hold clusters share."""

from collections.abc import Sequence

import keras
import numpy as np

from edgekit.clustering.clustered_kernel import ClusteredKernel
from edgekit.clustering.clusters import Clusters
from edgekit.clustering.shared_values import HeldClusters
from edgekit.core.kernel_axes import kernel_axes
from edgekit.core.kernels import select_kernels
from edgekit.core.next_fit import before_next_fit, fit_ended


class ClusteringCallback(keras.callbacks.Callback):
    """A callback with clusters over kernels."""

    def __init__(self):
        super().__init__()
        self._kernels: list[ClusteredKernel] = []
        self._held: HeldClusters | None = None
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

    def on_train_end(self, logs=None):
        if self._held is not None:
            self._held.apply()
            self._held.release()
            fit_ended(self)

    def _find_kernels(
        self, layers, depthwise: bool = False, argument: str = "layers"
    ) -> list[ClusteredKernel]:
        selected = select_kernels(self.model, layers, depthwise, argument)
        return [
            ClusteredKernel(layer, kernel, kernel_axes(layer, kernel))
            for layer, kernels in selected.items()
            for kernel in kernels
        ]

    def _hold(self, clusters: Sequence[Clusters], **settings) -> None:
        variables = [kernel.variable for kernel in self._kernels]
        self._held = HeldClusters(self.model, variables, clusters, **settings)
        self._verified = False
        before_next_fit(self, self._held.release)

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

"""A kernel as clustering sees it."""

from dataclasses import dataclass

import keras
import numpy as np

from edgekit.clustering.groups import Granularity, groups_of
from edgekit.core.kernel_axes import LayerKernel


@dataclass(frozen=True, eq=False)
class ClusteredKernel(LayerKernel):
    """A kernel that is clustered."""

    @property
    def weights(self) -> np.ndarray:
        """Its values in float32."""
        return np.asarray(keras.ops.convert_to_numpy(self.variable), "float32")

    def groups(self, granularity: Granularity) -> np.ndarray | None:
        """See `groups_of`."""
        return groups_of(tuple(self.variable.shape), self.axes, granularity)

"""A kernel as clustering sees it."""

from dataclasses import dataclass

import keras
import numpy as np

from edgekit.clustering.groups import Granularity, groups_of
from edgekit.core.kernel_axes import KernelAxes


@dataclass(frozen=True, eq=False)
class ClusteredKernel:
    """A kernel that is clustered.

    Attributes:
        layer: The layer it belongs to.
        variable: The kernel.
        axes: What its axes count.
    """

    layer: keras.layers.Layer
    variable: keras.Variable
    axes: KernelAxes

    @property
    def weights(self) -> np.ndarray:
        """Its values in float32."""
        return np.asarray(keras.ops.convert_to_numpy(self.variable), "float32")

    def groups(self, granularity: Granularity) -> np.ndarray | None:
        """See `groups_of`."""
        return groups_of(tuple(self.variable.shape), self.axes, granularity)

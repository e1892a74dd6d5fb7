"""A kernel as pruning sees it."""

from dataclasses import dataclass

import keras

from edgekit.core.kernel_axes import KernelAxes


@dataclass(frozen=True, eq=False)
class PrunedKernel:
    """A kernel that is pruned.

    Attributes:
        layer: The layer it belongs to.
        variable: The kernel.
        axes: What its axes count.
        sparsity: Share of its weights that go in the end, where each layer has its own.
        number: Its place among the kernels.
    """

    layer: keras.layers.Layer
    variable: keras.Variable
    axes: KernelAxes
    sparsity: float
    number: int

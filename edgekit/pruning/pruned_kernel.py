"""A kernel as pruning sees it."""

from dataclasses import dataclass

from edgekit.core.kernel_axes import LayerKernel


@dataclass(frozen=True, eq=False)
class PrunedKernel(LayerKernel):
    """A kernel that is pruned.

    Attributes:
        sparsity: Share of its weights that go in the end, where each layer has its own.
        number: Its place among the kernels.
    """

    sparsity: float
    number: int

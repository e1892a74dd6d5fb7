"""How one sparsity for the model becomes one for each layer."""

import math
from collections.abc import Sequence


def uniform(shapes: Sequence[Sequence[int]], sparsity: float) -> list[float]:
    """The same share for all."""
    return [sparsity] * len(shapes)


def erk(shapes: Sequence[Sequence[int]], sparsity: float) -> list[float]:
    """Erdős–Rényi-Kernel: large kernels lose more, small ones stay denser or whole.

    A kernel's density is in proportion to the sum of its sides over their product, and so that
    all together have `sparsity`.

    Example:
        >>> erk([(3, 3, 16, 16), (3, 3, 64, 64)], 0.8)
        [0.497..., 0.818...]

    Args:
        shapes: The kernels' shapes.
        sparsity: Share of all weights that go, 0 to below 1.

    Source: Mocanu et al. 2018, arXiv 1707.04780; with kernels, Evci et al. 2020, "Rigging the
    Lottery", arXiv 1911.11134.
    """
    sizes = [math.prod(shape) for shape in shapes]
    raw = [sum(shape) / size for shape, size in zip(shapes, sizes, strict=True)]
    whole: set[int] = set()
    while True:
        kept = (1 - sparsity) * sum(sizes) - sum(sizes[i] for i in whole)
        rest = [i for i in range(len(sizes)) if i not in whole]
        scale = kept / sum(raw[i] * sizes[i] for i in rest) if rest else 0.0
        full = {i for i in rest if scale * raw[i] >= 1}
        if not full:
            break
        whole |= full
    return [0.0 if i in whole else 1 - scale * raw[i] for i in range(len(sizes))]


ALLOCATIONS = {"layer": uniform, "erk": erk}

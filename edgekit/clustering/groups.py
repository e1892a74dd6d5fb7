"""Which weights of a kernel share a codebook."""

import numpy as np

from edgekit.core.arguments import is_whole
from edgekit.core.kernel_axes import KernelAxes

Granularity = str | int


def check_granularity(granularity: Granularity) -> None:
    """Refuse what is neither a name nor a number of channels.

    Raises:
        ValueError: It is not.
    """
    if granularity not in ("tensor", "channel") and not (
        is_whole(granularity) and granularity >= 1
    ):
        raise ValueError(
            "`granularity` must be 'tensor', 'channel', or how many output channels share a "
            f"codebook. Received: granularity={granularity!r}"
        )


def groups_of(shape: tuple[int, ...], axes: KernelAxes, granularity: Granularity):
    """The group of each weight, broadcast to the kernel's shape; None where there is only one.

    Example:
        >>> groups_of((3, 3, 8, 4), axes, 2).shape
        (1, 1, 1, 4)

    Args:
        shape: Of the kernel.
        axes: What its axes count.
        granularity: `"tensor"`, `"channel"`, or a number of output channels.
    """
    if granularity == "tensor":
        return None
    sizes = [shape[axis] if axis in axes.outputs else 1 for axis in range(len(shape))]
    channels = np.arange(int(np.prod(sizes))).reshape(sizes)
    groups = channels // (1 if granularity == "channel" else int(granularity))
    return None if groups.max() == 0 else groups

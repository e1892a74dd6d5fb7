"""What the axes of a kernel count: positions, input channels, output channels."""

from dataclasses import dataclass

import keras
from keras import layers as kl

from edgekit.core.kernel_layout import has_kernel, kernel_layout, kernel_of
from edgekit.core.kernels import is_depthwise


@dataclass(frozen=True)
class KernelAxes:
    """The axes of one kernel, each in one of three roles, in ascending order.

    Attributes:
        spatial: Positions in time or space: empty for Dense.
        inputs: Input channels: empty for a depthwise kernel, whose channels are its outputs.
        outputs: Output channels.
    """

    spatial: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class LayerKernel:
    """A kernel, whose it is, and how it is laid out.

    Attributes:
        layer: The layer it belongs to.
        variable: The kernel.
        axes: What its axes count.
    """

    layer: keras.layers.Layer
    variable: keras.Variable
    axes: KernelAxes


def kernel_axes(layer: keras.layers.Layer, kernel: keras.Variable) -> KernelAxes:
    """The roles of a kernel's axes.

    A kernel of an unknown layer is read as most are: positions first, then input channels,
    output channels last.

    Example:
        >>> kernel_axes(keras.layers.Conv2D(8, 3), kernel)
        KernelAxes(spatial=(0, 1), inputs=(2,), outputs=(3,))
    """
    rank = len(kernel.shape)
    if isinstance(layer, kl.EinsumDense) and kernel is layer.kernel:
        return _einsum_axes(layer.equation, rank)
    if is_depthwise(layer, kernel):
        return KernelAxes(tuple(range(rank - 2)), (), (rank - 2, rank - 1))
    outputs = (rank - 1,)
    if has_kernel(layer) and kernel is kernel_of(layer):
        outputs = tuple(axis % rank for axis in kernel_layout(layer).channel_axes)
    inputs = tuple(axis for axis in (rank - 2, rank - 1) if axis not in outputs)
    return KernelAxes(tuple(range(rank - 2)), inputs, outputs)


def _einsum_axes(equation: str, rank: int) -> KernelAxes:
    operands, result = equation.replace(" ", "").split("->")
    labels = operands.split(",")[1]
    outputs = tuple(i for i in range(rank) if labels[i] in result)
    return KernelAxes((), tuple(i for i in range(rank) if i not in outputs), outputs)

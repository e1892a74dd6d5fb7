"""Where a weighted layer keeps its kernel, and which axes count its output channels."""

from dataclasses import dataclass

import keras
from keras import layers as kl


@dataclass(frozen=True)
class KernelLayout:
    """One kernel of a layer.

    Args:
        attribute: Name of the layer's attribute that holds the variable.
        channel_axes: The axes that count the output channels, in the order of the output's.
    """

    attribute: str
    channel_axes: tuple[int, ...]


_LAYOUTS = {
    (kl.Conv1DTranspose, kl.Conv2DTranspose): KernelLayout("kernel", (-2,)),
    (kl.Conv1D, kl.Conv2D, kl.Dense): KernelLayout("kernel", (-1,)),
    (kl.DepthwiseConv1D, kl.DepthwiseConv2D): KernelLayout("kernel", (-2, -1)),
}


def kernel_layout(layer: keras.layers.Layer) -> KernelLayout:
    """The layout of the layer's kernel.

    Raises:
        ValueError: A kind of layer this table does not know.
    """
    for kinds, layout in _LAYOUTS.items():
        if isinstance(layer, kinds):
            return layout
    raise ValueError(f"layer {layer.name!r} of type {type(layer).__name__} has no known kernel")


def has_kernel(layer: keras.layers.Layer) -> bool:
    """Whether the layer is of a kind whose kernel is known."""
    return isinstance(layer, tuple(kind for kinds in _LAYOUTS for kind in kinds))


def kernel_of(layer: keras.layers.Layer) -> keras.Variable:
    """The layer's kernel.

    Raises:
        ValueError: A kind of layer the table does not know.
    """
    return getattr(layer, kernel_layout(layer).attribute)

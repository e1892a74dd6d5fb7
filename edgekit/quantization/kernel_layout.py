"""Where a weighted layer keeps its kernel and how LiteRT scales it."""

from dataclasses import dataclass

import keras
from keras import layers as kl


@dataclass(frozen=True)
class KernelLayout:
    """One kernel of a layer.

    Args:
        attribute: Name of the layer's attribute that holds the variable.
        channel_axes: Trailing axes that count the output channels.
        per_channel: Whether each channel has a scale of its own. LiteRT's converter takes a
            fully connected kernel from training with one scale only.
    """

    attribute: str
    channel_axes: tuple[int, ...]
    per_channel: bool = True

    @property
    def scale_axes(self) -> tuple[int, ...] | None:
        """`channel_axes` where each channel has a scale, else None."""
        return self.channel_axes if self.per_channel else None


_LAYOUTS = {
    kl.Conv2D: KernelLayout("kernel", (-1,)),
    kl.DepthwiseConv2D: KernelLayout("kernel", (-2, -1)),
    kl.Dense: KernelLayout("kernel", (-1,), per_channel=False),
}


def kernel_layout(layer: keras.layers.Layer) -> KernelLayout:
    """The layout of the layer's kernel.

    Raises:
        ValueError: A kind of layer this table does not know.
    """
    for kind, layout in _LAYOUTS.items():
        if isinstance(layer, kind):
            return layout
    raise ValueError(f"layer {layer.name!r} of type {type(layer).__name__} has no known kernel")

"""Layers that compute what Keras's own do, as a rewrite of their weights takes for granted."""

import keras
from keras import layers as kl

from edgekit.core.kernel_layout import has_kernel

# What a class of one's own may change without computing anything else.
_HARMLESS = {"__init__", "build", "get_config", "from_config", "compute_output_shape"}


def is_plain(layer: keras.layers.Layer, *kinds: type) -> bool:
    """Whether the layer is of one of the kinds and computes as Keras's class does.

    A class of one's own may change what its parent computes: the kernel that it uses, or what it
    adds. Where it changes a method of the parent, that is taken for granted.
    """
    if not isinstance(layer, kinds):
        return False
    classes = type(layer).__mro__
    known = next(i for i, cls in enumerate(classes) if cls.__module__.split(".")[0] == "keras")
    changed = {
        name
        for cls in classes[:known]
        for name, value in vars(cls).items()
        if callable(value) or isinstance(value, property)
    }
    return not any(hasattr(classes[known], name) for name in changed - _HARMLESS)


def has_plain_kernel(layer: keras.layers.Layer) -> bool:
    """Whether the layer's kernel is a float variable, by which Keras's own class multiplies."""
    if not isinstance(layer, keras.layers.Layer) or not has_kernel(layer):
        return False
    changed = getattr(layer, "lora_enabled", False) or getattr(layer, "quantization_mode", None)
    return not changed and is_plain(layer, kl.Layer)

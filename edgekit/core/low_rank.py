"""Kernels that are no plain variables, most of all those that LoRA adapts.

These are frozen, and a product of two small matrices is added to them.
"""

import warnings
from collections.abc import Callable

import keras
import numpy as np

from edgekit.core.kernels import is_kernel
from edgekit.core.selection import LayerFilter, all_layers, layer_path, select_layers

_CURE = (
    "save_weights adds the two matrices to the kernel, so load the weights into the model built "
    "without LoRA"
)


def adapted_kernels(
    model: keras.Model, layers: LayerFilter = None
) -> dict[keras.layers.Layer, keras.Variable]:
    """`{layer: its frozen kernel}` of the layers with LoRA that `layers` names.

    Args:
        model: A built model.
        layers: See `edgekit.core.selection.select_layers`.
    """
    found = {
        layer: variable
        for layer in all_layers(model)
        if getattr(layer, "lora_enabled", False)
        for variable in layer.non_trainable_weights
        if is_kernel(layer, variable)
    }
    try:
        return {layer: found[layer] for layer in select_layers(found, layers)} if found else {}
    except ValueError:  # none of these is named
        return {}


def warn_of_adapted(who: str, model: keras.Model, layers: LayerFilter) -> None:
    """Say which kernels are left out, since LoRA has frozen them."""
    names = _names(adapted_kernels(model, layers))
    if names:
        warnings.warn(
            f"{who} leaves out {names}: LoRA has frozen the kernel; {_CURE}",
            stacklevel=2,
        )


def refuse_adapted(
    who: str,
    model: keras.Model,
    layers: LayerFilter,
    lost: Callable[[np.ndarray], bool],
    what: str,
) -> None:
    """Refuse to hold in a kernel what LoRA will take from it.

    Args:
        who: The callback.
        model: The model that is about to train.
        layers: Which layers it looks at.
        lost: Whether a kernel has what would be lost.
        what: What that is, in words.

    Raises:
        ValueError: A kernel has.
    """
    found = adapted_kernels(model, layers)
    names = _names([k for k, v in found.items() if lost(keras.ops.convert_to_numpy(v))])
    if names:
        raise ValueError(
            f"{who} cannot hold the {what} of {names}: LoRA trains what is added to the kernel, "
            f"which has none. Name other layers in `layers`, or: {_CURE}"
        )


def check_plain(model: keras.Model) -> None:
    """Refuse a model with kernels that are not one float variable.

    Raises:
        ValueError: LoRA adapts one, or Keras's own `quantize` has rounded it.
    """
    # What is no model is refused elsewhere.
    for layer in all_layers(model) if isinstance(model, keras.Model) else ():
        if getattr(layer, "lora_enabled", False):
            raise ValueError(f"layer {layer_path(layer)} is adapted by LoRA: {_CURE}")
        mode = getattr(layer, "quantization_mode", None)
        if mode is not None:
            raise ValueError(
                f"layer {layer_path(layer)} has been quantized to {mode} by Keras's own "
                "`quantize`: start from the float model"
            )


def _names(layers) -> str:
    return ", ".join(map(layer_path, layers))

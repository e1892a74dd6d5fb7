"""Which variables of a layer are kernels: the large tensors that pruning and clustering work on."""

from collections.abc import Collection

import keras

from edgekit.core.selection import LayerFilter, all_layers, layer_path, select_layers

# Layers that a message names.
_NAMED = 8


def own_kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The layer's own trainable kernels, sublayers' left out."""
    inner = {id(v) for sub in all_layers(layer) for v in sub.trainable_variables}
    own = [v for v in layer.trainable_variables if id(v) not in inner]
    return [v for v in own if is_kernel(layer, v)]


def is_kernel(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """True for a variable of rank 2 or more that inputs are multiplied with.

    The slopes of PReLU are not; attention and GRU have biases of rank 2. LoRA's two factors are
    small, and gone once they are merged into the kernel.
    """
    slopes = isinstance(layer, keras.layers.PReLU)
    other = variable.name.endswith("bias") or variable.name.startswith("lora_")
    return len(variable.shape) >= 2 and not slopes and not other


def is_depthwise(layer: keras.layers.Layer, kernel: keras.Variable) -> bool:
    """True for the kernel of a depthwise convolution: one small filter per channel."""
    depthwise = (keras.layers.DepthwiseConv1D, keras.layers.DepthwiseConv2D)
    return isinstance(layer, depthwise) or kernel.name.startswith("depthwise")


def select_kernels(
    model: keras.Model,
    layers: LayerFilter = None,
    depthwise: bool = True,
    argument: str = "layers",
) -> dict[keras.layers.Layer, list[keras.Variable]]:
    """`{layer: its kernels}` for the layers that `layers` names.

    Args:
        model: A built model, of any kind.
        layers: See `edgekit.core.selection.select_layers`.
        depthwise: Whether depthwise kernels count when `layers` is None. A layer that
            `layers` names always gives all its kernels.
        argument: What the user calls `layers`. Defaults to `"layers"`.

    Raises:
        ValueError: The model has no kernel that trains, or `layers` names no layer that has one.
    """
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet: build it or call it on data first"
        )
    found = {}
    for layer in all_layers(model):
        kernels = own_kernels(layer)
        if layers is None and not depthwise:
            kernels = [k for k in kernels if not is_depthwise(layer, k)]
        if kernels:
            found[layer] = kernels
    if not found:
        message = f"model {model.name!r} has no trainable kernel (a weight of rank 2 or more)"
        raise ValueError(message + _frozen(model, found))
    try:
        return {layer: found[layer] for layer in select_layers(found, layers, argument)}
    except ValueError as error:
        raise ValueError(f"{error}{_frozen(model, found)}") from None


def _frozen(model: keras.Model, found: Collection[keras.layers.Layer]) -> str:
    """Which layers have kernels that do not train, as the end of a message; nothing if none."""
    frozen = [
        layer_path(layer)
        for layer in all_layers(model)
        if layer not in found and any(is_kernel(layer, v) for v in layer.non_trainable_weights)
    ]
    if not frozen:
        return ""
    several = len(frozen) > _NAMED
    names = ", ".join(frozen[:_NAMED]) + (f" and {len(frozen) - _NAMED} more" if several else "")
    return f". Frozen, and so left out: {names}"

"""Which weights of a layer are kernels: those that inputs are multiplied with.

The role of a weight decides, not its rank. Of Keras's own layers the kernels of Dense, EinsumDense,
convolutions, attention and recurrent cells are such, and tables of Embedding, in which looking up
a row is the product with a one-hot vector; gamma, beta and scales of normalizations are none,
whatever their rank, nor are slopes and biases. Of a layer of one's own that is read off what it
computes; `edgekit_kernels = ("w", "u")`, names of its attributes, says it outright.
"""

from collections.abc import Collection

import keras

from edgekit.core.selection import LayerFilter, all_layers, layer_path, select_layers
from edgekit.core.weight_roles import multiplied_weights

# Layers that a message names.
_NAMED = 8
# Of Keras's layers, beside all that ends in "kernel".
_TABLES = ("embeddings", "reverse_embeddings")
# What these names mean is clear in any layer.
_VECTORS = ("gamma", "beta", "scale", "alpha", "bias")
# Of a layer that cannot be traced, parts of the names of weights that are no kernels.
_OTHER_ROLES = (
    *("pos", "token", "cls", "scale", "gamma", "beta", "bias", "shift", "offset", "slope", "alpha"),
    *("temperature", "mask", "mean", "variance"),
)


def own_kernels(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The layer's own trainable kernels, sublayers' left out."""
    inner = {id(v) for sub in all_layers(layer) for v in sub.trainable_variables}
    own = [v for v in layer.trainable_variables if id(v) not in inner]
    return [v for v in own if is_kernel(layer, v)]


def is_kernel(layer: keras.layers.Layer, variable: keras.Variable) -> bool:
    """Whether inputs are multiplied with the weight, of rank 2 or more.

    LoRA's two factors are small, and gone once they are merged into the kernel: they are none.

    Args:
        layer: Whose weight it is.
        variable: The weight.

    Raises:
        ValueError: `edgekit_kernels` of the layer names no attribute of it.
    """
    if len(variable.shape) < 2 or variable.name.startswith("lora_"):
        return False
    named = getattr(layer, "edgekit_kernels", None)
    if named is not None:
        return any(variable is each for each in _named_kernels(layer, named))
    if type(layer).__module__.split(".")[0] in ("keras", "edgekit"):
        return variable.name.endswith("kernel") or variable.name in _TABLES
    if variable.name.endswith("kernel"):
        return True
    if variable.name in _VECTORS or variable.name.endswith("bias"):
        return False
    multiplied = multiplied_weights(layer)
    if multiplied is not None:
        return id(variable) in multiplied
    matrix = sum(side > 1 for side in variable.shape) > 1
    return matrix and not any(part in variable.name.lower() for part in _OTHER_ROLES)


def _named_kernels(layer: keras.layers.Layer, names) -> list[keras.Variable]:
    names = [names] if isinstance(names, str) else list(names)
    for name in names:
        if not isinstance(getattr(layer, name, None), keras.Variable):
            raise ValueError(
                f"`edgekit_kernels` of {layer_path(layer)} ({type(layer).__name__}) must hold "
                f"names of attributes that are weights. Received: {name!r}"
            )
    return [getattr(layer, name) for name in names]


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
        message = (
            f"model {model.name!r} has no trainable kernel (a weight that inputs are multiplied "
            "with)"
        )
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

"""`ek.tfmot.preserve`: TFMOT's quantisation-aware training that keeps zeros or shared values."""

import numpy as np

from edgekit.tfmot.engine import check_source, load_tfmot
from edgekit.tfmot.quantization import quantized
from edgekit.tfmot.remote import remotely

_RECIPES = ("PQAT", "CQAT", "PCQAT")
_PRESERVED = ("Conv2D", "Dense")
_MOST_VALUES = 1024  # of more TFMOT keeps none


@remotely
def preserve(model, recipe: str) -> tuple:
    """A pruned or clustered model in TFMOT's quantisation wrappers that keep it so.

    They keep the zeros and values of Conv2D and Dense kernels that are there now.

    Example:
        >>> sparse = ek.tfmot.strip(pruned)
        >>> pqat, callbacks = ek.tfmot.preserve(sparse, "PQAT")

    Args:
        model: A built Sequential or Functional model, of tf_keras or Keras 3, stripped; it stays
            as it is.
        recipe: `"PQAT"` keeps zeros, `"CQAT"` the values that weights share, `"PCQAT"` both.

    Returns:
        `(model, callbacks)`; there are none.

    Raises:
        ValueError: Another recipe, nothing to keep, or a layer that TFMOT cannot quantise.
        ImportError: TFMOT is not installed (extra `tfmot`).
    """
    check_source(model)
    if recipe not in _RECIPES:
        raise ValueError(
            f"`recipe` must be one of {', '.join(_RECIPES)}. Received: recipe={recipe!r}"
        )
    kernels = [layer.kernel.numpy() for layer in model.layers if type(layer).__name__ in _PRESERVED]
    if "P" in recipe and not any((kernel == 0).any() for kernel in kernels):
        raise ValueError(
            f"{recipe} keeps zeros, and no Conv2D or Dense kernel of {model.name!r} has any: "
            "ek.tfmot.prune and strip it first"
        )
    if "C" in recipe and not any(_is_clustered(kernel) for kernel in kernels):
        raise ValueError(
            f"{recipe} keeps shared values, and no Conv2D or Dense kernel of {model.name!r} has "
            "them: ek.tfmot.cluster and strip it first"
        )
    combine = load_tfmot().experimental.combine
    if recipe == "PQAT":
        scheme = combine.Default8BitPrunePreserveQuantizeScheme()
    else:
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(recipe == "PCQAT")
    return quantized(model, scheme=scheme), []


def _is_clustered(kernel: np.ndarray) -> bool:
    weights = kernel[kernel != 0]
    return np.unique(weights).size <= min(_MOST_VALUES, weights.size // 2)

"""`ek.tfmot.preserve`: TFMOT's quantisation-aware training that keeps zeros or shared values."""

from edgekit.tfmot.engine import check_tf_keras_model, load_tfmot
from edgekit.tfmot.quantization import quantized
from edgekit.tfmot.remote import remotely

_RECIPES = ("PQAT", "CQAT", "PCQAT")


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
        ValueError: Another recipe, or a layer that TFMOT cannot quantise.
        ImportError: TFMOT is not installed (extra `tfmot`).
    """
    check_tf_keras_model(model)
    if recipe not in _RECIPES:
        raise ValueError(
            f"`recipe` must be one of {', '.join(_RECIPES)}. Received: recipe={recipe!r}"
        )
    combine = load_tfmot().experimental.combine
    if recipe == "PQAT":
        scheme = combine.Default8BitPrunePreserveQuantizeScheme()
    else:
        scheme = combine.Default8BitClusterPreserveQuantizeScheme(recipe == "PCQAT")
    return quantized(model, scheme=scheme), []

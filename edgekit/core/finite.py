"""Weights that training left as numbers."""

import keras
import numpy as np


def check_finite_weights(model: keras.Model, after: str) -> None:
    """Refuse a model that training took to NaN or infinity.

    Example:
        >>> check_finite_weights(model, "its training")

    Args:
        model: The model.
        after: What was done to it, for the message.

    Raises:
        FloatingPointError: A weight is no finite number.
    """
    lost = [
        v.path
        for v in model.variables
        if "float" in keras.backend.standardize_dtype(v.dtype)
        and not np.isfinite(keras.ops.convert_to_numpy(v).astype("float32")).all()
    ]
    if lost:
        others = f" and {len(lost) - 1} more" if len(lost) > 1 else ""
        raise FloatingPointError(
            f"after {after} {lost[0]}{others} of model {model.name!r} holds NaN or infinity: train "
            "with a smaller learning rate"
        )

"""Telling of a training that went wrong before its weights are taken for a result."""

import warnings
from collections.abc import Sequence

import keras
import numpy as np

# Variables that a message names.
_NAMED = 8


class Divergence:
    """Looks for weights that are no numbers, and tells of them once.

    Args:
        who: The callback that tells.
        model: The model that trains.
    """

    def __init__(self, who: keras.callbacks.Callback, model: keras.Model):
        self._who, self._model, self._told = type(who).__name__, model, False

    def tell(self) -> None:
        """Warn of what is NaN or infinite now, if anything is and nothing was told."""
        if self._told:
            return
        broken = _broken(self._model.trainable_variables)
        if broken:
            self._told = True
            names = ", ".join(broken[:_NAMED])
            more = f" and {len(broken) - _NAMED} more" if len(broken) > _NAMED else ""
            warnings.warn(
                f"{self._who}: the training diverged, {names}{more} hold NaN or infinite values. "
                "Such a model is of no use: train it again with a smaller learning rate",
                stacklevel=2,
            )


def _broken(variables: Sequence[keras.Variable]) -> list[str]:
    found = []
    for variable in variables:
        values = np.asarray(keras.ops.convert_to_numpy(variable), "float32")
        if not np.isfinite(values).all():
            found.append(variable.path)
    return found

"""Masks that hold kernels sparse while a model trains."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from edgekit.core.constraints import Mask, hold, release, retrace_training


class HeldMasks:
    """One boolean mask per kernel, applied by the optimizer after each update.

    Args:
        model: The compiled model that is about to train.
        kernels: The variables to hold.
        masks: An array of each kernel's shape, True where a weight stays.
        fit: What tells this fit from others: the callback's `params`.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[keras.Variable],
        masks: Sequence[np.ndarray],
        fit: object,
    ):
        self._model = model
        self._held = []
        for kernel, mask in zip(kernels, masks, strict=True):
            variable = keras.Variable(
                mask, dtype="bool", trainable=False, name=f"{kernel.name}_mask"
            )
            constraint = Mask(variable)
            hold(kernel, constraint, fit)
            self._held.append((kernel, constraint))
        self.apply()
        retrace_training(model)

    def update(self, masks: Sequence[np.ndarray]) -> None:
        """Put new masks in place, in the order of the kernels, and apply them at once."""
        for (_, constraint), mask in zip(self._held, masks, strict=True):
            constraint.mask.assign(mask)
        self.apply()

    def apply(self) -> None:
        """Set the masked weights to zero now."""
        for kernel, constraint in self._held:
            kernel.assign(constraint(kernel.value))

    def release(self) -> None:
        """Let the kernels go: the model is plain Keras again, and sparse.

        The masks are applied once more: averaged or restored weights may have come in since.
        """
        self.apply()
        for kernel, constraint in self._held:
            release(kernel, constraint)
        retrace_training(self._model)


def sparsity_of(kernels: Sequence[keras.Variable]) -> float:
    """Share of zeros over all the kernels together, 0 to 1."""
    zeros = sum(int(np.sum(ops.convert_to_numpy(k) == 0)) for k in kernels)
    return zeros / sum(int(np.prod(k.shape)) for k in kernels)

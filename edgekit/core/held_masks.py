"""Masks that hold weights at zero while a model trains."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgekit.core import constraints
from edgekit.core.constraints import Mask, retrace_training
from edgekit.core.together import Together

_DO_NOT_HOLD = (
    "the masks do not hold: another callback changes the same weights in this fit (cluster in a "
    "second fit), or the train step was traced before them or updates weights by other means than "
    "optimizer.apply; trace it within ek.custom_loop"
)


class HeldMasks:
    """One boolean mask per variable, applied by the optimizer after each update.

    Args:
        model: The model that is about to train.
        variables: The variables to hold.
        masks: An array of each variable's shape, True where a weight stays.
    """

    def __init__(
        self,
        model: keras.Model,
        variables: Sequence[keras.Variable],
        masks: Sequence[np.ndarray],
    ):
        self._model = model
        self._held: list[tuple[keras.Variable, Mask]] = []
        for variable, mask in zip(variables, masks, strict=True):
            with model.distribute_strategy.scope():
                stored = keras.Variable(
                    mask, dtype="bool", trainable=False, name=f"{variable.name}_mask"
                )
            self._held.append((variable, Mask(stored)))
        constraints.hold(model, self._held)
        self._together = Together(model, variables)
        self._put = self._together.changer(self.put)
        self.update(masks)
        retrace_training(model)

    @property
    def variables(self) -> list[keras.Variable]:
        """What is held."""
        return [variable for variable, _ in self._held]

    @property
    def pairs(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Each variable and its mask, as the train step reads them."""
        return [(variable, constraint.mask) for variable, constraint in self._held]

    @property
    def masks(self) -> list[np.ndarray]:
        """The masks."""
        return [ops.convert_to_numpy(mask) for _, mask in self.pairs]

    def update(self, masks: Sequence[np.ndarray]) -> None:
        """Put new masks in place, in the order of the variables, and apply them at once."""
        self._put(masks)

    def apply(self) -> None:
        """Set the masked weights to zero now."""
        self._put(self.masks)

    def verify(self) -> None:
        """Make sure, after a step, that what is masked is zero: then it will be after any other.

        Raises:
            ValueError: It is not.
        """
        for weights, mask in zip(self._together.read(), self.masks, strict=True):
            if weights[~mask].any():
                raise ValueError(_DO_NOT_HOLD)

    def release(self) -> None:
        """Let the variables go: the model is plain Keras again.

        What it holds now stays. What has been written past Keras's own variables may have come in
        since the last step: `apply` first, to keep it sparse.
        """
        constraints.release(self._model, self._held)
        retrace_training(self._model)

    def put(self, number: int, mask: tf.Tensor) -> None:
        """Put one mask in place and apply it; for use inside a graph."""
        variable, constraint = self._held[number]
        constraint.mask.assign(mask)
        constraints.write(variable, constraint(variable.value))


def sparsity_of(kernels: Sequence[keras.Variable]) -> float:
    """Share of zeros over all the kernels together, 0 to 1."""
    zeros = sum(int(np.sum(ops.convert_to_numpy(k) == 0)) for k in kernels)
    return zeros / sum(int(np.prod(k.shape)) for k in kernels)

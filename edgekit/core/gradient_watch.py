"""Values of weights and gradients, summed while a model trains."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgekit.core.optimizers import (
    follow_optimizers,
    forget_optimizers,
    hooks_of,
    innermost,
    optimizers_of,
    unhook,
)


class GradientWatch:
    """Sums a value per weight over train steps, from the weight and its gradient.

    The optimizer's `apply` is told to add first; the innermost one's, where gradients have their
    true scale.

    Args:
        model: The model that trains.
        kernels: The variables to watch.
        value: `value(weight, gradient)`, called inside the train step.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[keras.Variable],
        value: Callable[[Any, Any], Any],
    ):
        if not optimizers_of(model):
            raise ValueError(
                "gradients are needed, but the model has no optimizer: compile it, or pass "
                "`optimizer` to ek.custom_loop"
            )
        self._model, self._seen = model, False
        with model.distribute_strategy.scope():
            self._sums = [accumulator(k.shape, f"{k.name}_gradients") for k in kernels]
        sums = {id(k): (k, total) for k, total in zip(kernels, self._sums, strict=True)}

        def watch(gradients, variables):
            self._seen = True
            for variable, gradient in zip(variables, gradients, strict=True):
                if gradient is not None and id(variable) in sums:
                    kernel, total = sums[id(variable)]
                    gradient = tf.cast(tf.convert_to_tensor(gradient), "float32")
                    total.assign_add(value(tf.cast(kernel.value, "float32"), gradient))

        def see(optimizer) -> None:
            for each in innermost(optimizer):
                hooks_of(each).before[id(self)] = watch

        follow_optimizers(model, id(self), see)

    def read(self) -> list[np.ndarray]:
        """The sums.

        Raises:
            ValueError: The optimizer was never used.
        """
        if not self._seen:
            raise ValueError(
                "no gradients have been seen: the training does not use the optimizer of the "
                "model; pass the one it uses to ek.custom_loop, and trace the step within the loop"
            )
        return [ops.convert_to_numpy(total) for total in self._sums]

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Put other sums in their place."""
        self._seen = True
        for total, array in zip(self._sums, arrays, strict=True):
            total.assign(array)

    def reset(self) -> None:
        """Start again from zero."""
        self.write([np.zeros(total.shape, "float32") for total in self._sums])

    def release(self) -> None:
        """Give the optimizer its own `apply` back."""
        for optimizer in forget_optimizers(self._model, id(self)):
            for each in innermost(optimizer):
                unhook(each, id(self))


def accumulator(shape: Sequence[int], name: str) -> tf.Variable:
    """Zeros that a train step adds to, summed over replicas."""
    # No keras.Variable: wrapped layers run in a scope that keeps those from changing.
    zeros = tf.zeros(tuple(shape), "float32")
    return tf.Variable(zeros, trainable=False, name=name, aggregation=tf.VariableAggregation.SUM)

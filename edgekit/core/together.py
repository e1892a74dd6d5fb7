"""Many variables read or changed in one call: one by one, each costs as much as a small layer."""

from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf


class Together:
    """Some variables of a model, as NumPy arrays.

    Args:
        model: The model, whose distribution strategy counts.
        variables: What to read or change.
    """

    def __init__(self, model: keras.Model, variables: Sequence[keras.Variable]):
        self._strategy = model.distribute_strategy
        self._variables = list(variables)
        self._shapes = [tuple(v.shape) for v in self._variables]
        self._ends = np.cumsum([int(np.prod(s)) for s in self._shapes])
        self._read = None

    def read(self) -> list[np.ndarray]:
        """Their values in float32."""
        with self._strategy.scope():
            self._read = self._read or traced(self._flat)
            flat = self._read().numpy()
        parts = np.split(flat, self._ends[:-1])
        return [part.reshape(s) for part, s in zip(parts, self._shapes, strict=True)]

    def changer(self, change: Callable[[int, tf.Tensor], None]) -> Callable:
        """A function of one boolean array per variable: `change(number, tensor)` for each."""

        def run(flat):
            sizes = np.diff(self._ends, prepend=0)
            for number, part in enumerate(tf.split(flat, sizes)):
                change(number, tf.reshape(part, self._shapes[number]))

        with self._strategy.scope():
            compiled = traced(run, tf.TensorSpec([int(self._ends[-1])], "bool"))

        def call(arrays: Sequence[np.ndarray]) -> None:
            with self._strategy.scope():
                compiled(tf.constant(np.concatenate([a.ravel() for a in arrays])))

        return call

    def _flat(self):
        return tf.concat(
            [tf.reshape(tf.cast(v.value, "float32"), [-1]) for v in self._variables], axis=0
        )


def traced(function: Callable, *signature: tf.TensorSpec) -> Callable:
    """The function as one graph.

    Concrete: a graph for each model is no mistake, as TensorFlow would suspect and say.
    """
    return tf.function(function, list(signature), autograph=False).get_concrete_function()

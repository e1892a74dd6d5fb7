"""A few small weights more, pruned without leaving TensorFlow.

A schedule that updates often takes few weights each time. Reading all weights and writing all
masks for that costs as much as a layer of the model; finding the few smallest does not.
"""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from edgekit.core.together import traced
from edgekit.pruning.held_masks import HeldMasks

# Above this share of the weights ranking them all in NumPy is faster.
_FEW = 1 / 16


class SmallSteps:
    """Takes the smallest weights that are left, so many in each kernel.

    The choice is that of `keep_highest` on magnitudes: of equal weights the first go.

    Args:
        model: The model that trains.
        kernels: The kernels, the first variables that the masks hold.
        held: Their masks.
    """

    def __init__(self, model: keras.Model, kernels: Sequence[keras.Variable], held: HeldMasks):
        self._strategy = model.distribute_strategy
        self._pairs = [(kernel, held.variables[i]) for i, kernel in enumerate(kernels)]
        self._size = sum(int(np.prod(kernel.shape)) for kernel in kernels)
        self._drop = None

    def are_few(self, counts: np.ndarray) -> bool:
        """Whether this is the faster way to take so many, and a way at all."""
        return bool((counts >= 0).all()) and int(counts.sum()) <= _FEW * self._size

    def drop(self, counts: np.ndarray) -> None:
        """Take `counts[i]` weights more of kernel i."""
        with self._strategy.scope():
            counts_of_all = tf.TensorSpec([len(self._pairs)], "int32")
            self._drop = self._drop or traced(self._drop_lowest, counts_of_all)
            self._drop(tf.constant(counts, "int32"))

    def _drop_lowest(self, counts: tf.Tensor) -> None:
        each = tf.unstack(counts, len(self._pairs))
        for count, (kernel, mask) in zip(each, self._pairs, strict=True):
            weights, keep = kernel.value, tf.reshape(mask.value, [-1])
            size = tf.reshape(tf.abs(tf.cast(weights, "float32")), [-1])
            _, lowest = tf.math.top_k(tf.where(keep, -size, -np.inf), count)
            gone = tf.zeros([count], "bool")
            keep = tf.tensor_scatter_nd_update(keep, lowest[:, None], gone)
            keep = tf.reshape(keep, weights.shape)
            mask.assign(keep)
            kernel.assign(tf.where(keep, weights, tf.zeros_like(weights)))

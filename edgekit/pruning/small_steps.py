"""A few small weights more, pruned without leaving TensorFlow.

A schedule that updates often takes few weights each time. Reading all weights and writing all
masks for that costs as much as a layer of the model; finding the few smallest does not.
"""

import keras
import numpy as np
import tensorflow as tf

from edgekit.core.held_masks import HeldMasks
from edgekit.core.together import traced

# Above this share of the weights ranking them all in NumPy is faster.
_FEW = 1 / 16


class SmallSteps:
    """Takes the smallest weights that are left, so many in each kernel.

    The choice is that of `keep_highest` on magnitudes: of equal weights the first go, and of a
    training that went wrong those that are no numbers last.

    Args:
        model: The model that trains.
        held: Masks over kernels.
        count: How many kernels there are; the variables after them follow their masks.
    """

    def __init__(self, model: keras.Model, held: HeldMasks, count: int):
        self._strategy = model.distribute_strategy
        self._held, self._pairs = held, held.pairs[:count]
        self._size = sum(int(np.prod(kernel.shape)) for kernel, _ in self._pairs)
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
        for number, (kernel, mask) in enumerate(self._pairs):
            count = counts[number]
            weights, keep = kernel.value, tf.reshape(mask.value, [-1])
            size = tf.reshape(tf.abs(tf.cast(weights, "float32")), [-1])
            # The bits of a size rise as it does, above infinity to what is no number.
            rank = tf.bitcast(size, "int32")
            _, lowest = tf.math.top_k(tf.where(keep, -rank, tf.int32.min), count)
            gone = tf.zeros([count], "bool")
            keep = tf.tensor_scatter_nd_update(keep, lowest[:, None], gone)
            self._held.put(number, tf.reshape(keep, weights.shape))

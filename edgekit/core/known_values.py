"""Computing from weights once, where a graph is traced for values that are known."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras


@contextmanager
def where_known(variable: keras.Variable) -> Iterator[None]:
    """What is computed from weights alone in the block is computed now, if their values are known.

    A conversion traces a model with its weights as constants. What follows from them alone, such
    as a folded and rounded kernel, is then a constant as well, and no part of the graph.

    Example:
        >>> with where_known(layer.kernel):
        ...     rounded = quantizer(layer.kernel.value)

    Args:
        variable: One of the weights.
    """
    if keras.backend.backend() != "tensorflow":
        yield
        return
    import tensorflow as tf

    if tf.executing_eagerly() or not isinstance(variable.value, tf.__internal__.EagerTensor):
        yield
        return
    with tf.init_scope():
        yield

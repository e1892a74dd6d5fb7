"""Computing from weights once, where a graph is traced for values that are known."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np


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


def known_numbers(value: Any) -> np.ndarray | None:
    """The numbers of a variable's value where they are known now and no graph is to read them.

    That is where layers run eagerly, and where a graph is traced for a conversion, with the
    weights as constants. Computing from them in NumPy is faster and leaves nothing in the graph.

    Example:
        >>> known_numbers(keras.Variable([1.0, 2.0]).value)
        array([1., 2.], dtype=float32)

    Args:
        value: `variable.value`.
    """
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    if isinstance(value, tf.__internal__.EagerTensor):
        return value.numpy()
    if not isinstance(value, tf.Variable) or not tf.executing_eagerly():
        return None
    if tf.distribute.get_strategy().num_replicas_in_sync > 1 or hasattr(value, "values"):
        return None  # each replica has its own
    return value.numpy()

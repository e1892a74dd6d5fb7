"""Small functions that many layers call, as one function of the graph that all of them share."""

from collections.abc import Callable
from functools import cache
from typing import Any

import keras


def traced_once(function: Callable, *tensors: Any, **settings: Any) -> Any:
    """`function(*tensors, **settings)`, a single operation in each graph that it is called in.

    What a step does in every layer costs time before the first step: each operation is created
    in Python, then optimized. With TensorFlow, the function is traced once for all layers whose
    tensors have as many axes and the same types, and calls of it are not inlined.

    Gradients are not for this: give tensors that nothing is differentiated by. Sizes of axes are
    unknown in the function, and so are those of its results.

    Example:
        >>> low, high = traced_once(extremes, ops.stop_gradient(x))

    Args:
        function: Takes tensors, returns tensors, and depends on nothing else: not a closure.
        *tensors: What it is called with.
        **settings: Hashable arguments beside the tensors.
    """
    if keras.backend.backend() != "tensorflow":
        return function(*tensors, **settings)
    if any(isinstance(tensor, keras.KerasTensor) for tensor in tensors):
        return function(*tensors, **settings)
    kinds = tuple((tensor.shape.rank, tensor.dtype) for tensor in tensors)
    return _traced(function, kinds, tuple(settings.items()))(*tensors)


@cache
def _traced(function, kinds, settings):
    import tensorflow as tf

    return tf.function(
        lambda *tensors: function(*tensors, **dict(settings)),
        [tf.TensorSpec(None if rank is None else [None] * rank, dtype) for rank, dtype in kinds],
        autograph=False,
        experimental_attributes={"_noinline": True},
    )

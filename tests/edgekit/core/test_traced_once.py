import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from edgekit.core.traced_once import traced_once

traced = []


def largest(x, *, times):
    traced.append(x.shape)
    return ops.max(x) * times


def operations_of(function, *arrays):
    tensors = [tf.TensorSpec(array.shape, array.dtype) for array in arrays]
    concrete = tf.function(function).get_concrete_function(*tensors)
    return [operation.type for operation in concrete.graph.get_operations()]


def test_one_operation_traced_once_for_all_sizes():
    traced.clear()
    arrays = [np.random.default_rng(n).normal(size=(n, 3)).astype("float32") for n in (2, 5)]
    for array in arrays:
        found = traced_once(largest, tf.constant(array), times=2)
        assert float(found) == pytest.approx(2 * array.max())
        operations = operations_of(lambda x: traced_once(largest, x, times=2), array)
        assert set(operations) <= {"Placeholder", "PartitionedCall", "Identity"}
    assert len(traced) == 1
    assert float(traced_once(largest, tf.constant(arrays[0]), times=3)) == pytest.approx(
        3 * arrays[0].max()
    )
    assert len(traced) == 2

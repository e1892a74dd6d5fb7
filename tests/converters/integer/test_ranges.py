"""Ranges where a constant beside computed values would take the grid."""

import numpy as np
import tensorflow as tf

from converters import Flatbuffer
from converters.calibration import measure_ranges
from converters.inspection import inspect
from converters.integer import quantize
from tests.converters.lite_files import lite_file

X = np.random.default_rng(0).uniform(-3, 3, (30, 4, 8)).astype("float32")
MASK = np.tri(4, 8, 2, dtype=bool)


def integer_file(function) -> Flatbuffer:
    content = lite_file(function, tf.TensorSpec((1, 4, 8), name="x")).content
    return Flatbuffer(quantize(content, measure_ranges(content, {"x": X})))


def test_values_beside_a_constant_out_of_their_reach():
    def filled(x):
        return tf.where(MASK, x * 2.0, -1e4)

    file = integer_file(lambda x: tf.nn.relu(filled(x)))  # which rounds for what it reads
    assert inspect(file).float_islands == []
    expected = np.where(MASK, np.maximum(X, 0) * 2, 0)
    assert np.abs(file.predict(X) - expected).max() < 0.06  # a step of the input is 0.024
    file = integer_file(lambda x: tf.exp(filled(x)))
    assert [op.name for op in inspect(file).float_islands] == ["SELECT_V2", "EXP"]

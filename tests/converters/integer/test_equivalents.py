"""Float ops that are put in terms of others, against NumPy and in every set of kernels."""

import numpy as np
import pytest
import tensorflow as tf

import converters
from converters.calibration import measure_ranges
from converters.inspection import inspect
from converters.integer import quantize, with_integer_kernels
from tests.converters.lite_files import lite_file

X = np.random.default_rng(0).uniform(-2, 3, (40, 3, 4, 6)).astype("float32")


def inverse_length(x, axis=-1, bound=1e12):
    total = tf.reduce_sum(tf.square(x), axis, keepdims=True)
    return tf.minimum(tf.math.rsqrt(total), bound)


def length(x, axis=-1):
    return np.sqrt((x.astype("float64") ** 2).sum(axis, keepdims=True))


CASES = {
    "negation": (lambda x: -x, lambda x: -x),
    "square": (tf.square, np.square),
    "sum of rows": (lambda x: tf.reduce_sum(x, 1), lambda x: x.sum(1)),
    "sum of images": (
        lambda x: tf.reduce_sum(x, (1, -2), keepdims=True),
        lambda x: x.sum((1, 2), keepdims=True),
    ),
    "unit length": (lambda x: x * inverse_length(x), lambda x: x / length(x)),
    "unit length of columns": (lambda x: x * inverse_length(x, 1), lambda x: x / length(x, 1)),
    "unit length of images": (
        lambda x: inverse_length(x, (1, 2)) * x,
        lambda x: x / length(x, (1, 2)),
    ),
    "at most": (lambda x: tf.minimum(x, 0.7), lambda x: np.minimum(x, 0.7)),
    "at least": (lambda x: tf.maximum(x * 2.0, -0.3), lambda x: np.maximum(x * 2, -0.3)),
    "padded": (
        lambda x: tf.pad(x * 2.0, [[0, 0], [0, 0], [0, 0], [1, 0]], constant_values=5.0),
        lambda x: np.pad(x * 2, [(0, 0), (0, 0), (0, 0), (1, 0)], constant_values=5),
    ),
}


def integer_file(function, bits=8, x=X):
    content = lite_file(function, tf.TensorSpec((1, *x.shape[1:]), name="x")).content
    content = with_integer_kernels(content)
    (name,) = [i.name for i in inspect(converters.Flatbuffer(content)).inputs]
    ranges = measure_ranges(content, {name: x})
    return converters.Flatbuffer(quantize(content, ranges, activation_bits=bits))


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kernels", ["xnnpack", "builtin", "reference"])
def test_computed_in_integers(case, kernels):
    function, right = CASES[case]
    file = integer_file(function)
    report = inspect(file)
    assert report.float_islands == []
    (edge,) = report.inputs
    steps = np.clip(np.round(X / edge.scale) + edge.zero_point, -128, 127) - edge.zero_point
    found, expected = file.predict(X, kernels=kernels), right(steps * edge.scale)
    assert np.abs(found - expected).max() < 1.01 * report.outputs[0].scale


@pytest.mark.parametrize("case", ["negation", "square", "sum of rows", "at most"])
def test_computed_in_16_bits(case):
    function, right = CASES[case]
    file = integer_file(function, 16)
    assert inspect(file).float_islands == []
    assert np.abs(file.predict(X) - right(X)).max() < 2e-3


def test_a_vector_of_zeros_keeps_its_length():
    x = X.copy()
    x[0] = 0
    file = integer_file(CASES["unit length"][0], x=x)
    assert "L2_NORMALIZATION" in [op.name for op in inspect(file).ops]
    np.testing.assert_array_equal(file.predict(x[:1]), 0)


def test_what_only_looks_like_a_unit_length_is_none():
    def others(x, y):
        return (
            x * inverse_length(y),
            x * inverse_length(x, bound=0.5),
            x * tf.math.rsqrt(tf.reduce_sum(tf.square(x), 0, keepdims=True)),
        )

    specs = [tf.TensorSpec((1, 3, 4, 6), name=name) for name in "xy"]
    content = with_integer_kernels(lite_file(others, *specs).content)
    names = [op.name for op in inspect(converters.Flatbuffer(content)).ops]
    assert "L2_NORMALIZATION" not in names


def test_a_file_with_none_of_them_is_the_same():
    content = lite_file(tf.nn.relu, tf.TensorSpec((1, 4), name="x")).content
    assert with_integer_kernels(content) is content

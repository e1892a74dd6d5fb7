"""The rewriting itself, on flatbuffers made straight from TensorFlow, without Keras."""

import numpy as np
import pytest
import tensorflow as tf

from converters.flatbuffer import Flatbuffer
from converters.inspection import inspect
from converters.integer import to_integer


def rounded(x, low, high, bits=8):
    return tf.quantization.fake_quant_with_min_max_args(x, float(low), float(high), bits)


def in_16_bits(x, limit):
    step = limit / 32767
    return rounded(x, -32768 * step, 32767 * step, 16)


def on_grid(shape, levels=127, seed=0):
    integers = np.random.default_rng(seed).integers(-levels, levels + 1, shape)
    return tf.constant((integers * np.float32(0.01)).astype("float32"))


def converted(function, *shapes, edges="integer"):
    specs = [tf.TensorSpec(s, tf.float32, name=f"x{i}") for i, s in enumerate(shapes)]
    traced = tf.function(lambda *a: {"y": function(*a)}, autograph=False)
    concrete = traced.get_concrete_function(*specs)
    float_file = tf.lite.TFLiteConverter.from_concrete_functions([concrete], traced).convert()
    return Flatbuffer(to_integer(float_file, edges))


def worst(file, function, *shapes, seed=1):
    """Largest difference in output steps, over 20 samples."""
    rng = np.random.default_rng(seed)
    xs = [rng.uniform(-1, 1, (20, *s[1:])).astype("float32") for s in shapes]
    found = file.predict(dict(zip(("x0", "x1"), xs, strict=False)), kernels="reference")
    expected = np.concatenate(
        [function(*(tf.constant(x[i : i + 1]) for x in xs)).numpy() for i in range(20)]
    )
    (edge,) = inspect(file).outputs
    return np.abs(found - expected).max() / (edge.scale or 1e-3)


def test_weights_are_stored_in_as_few_bits_as_hold_them():
    for levels, dtype in ((127, "int8"), (7, "int4"), (1, "int4")):
        kernel = on_grid((16, 5), levels)

        def dense(x, kernel=kernel):
            return rounded(tf.matmul(rounded(x, -1, 1), kernel), -2, 2)

        file = converted(dense, (1, 16))
        (weights,) = [w for w in inspect(file).weights if w.dtype.startswith("int")][:1]
        assert weights.dtype == dtype
        assert worst(file, dense, (1, 16)) < 1.01


@pytest.mark.parametrize("low", [-2, 0, -0.01])
def test_kernels_far_beyond_the_outputs_range_load_and_saturate_as_before(low):
    # Powers of two, so that float32 sums without error and zero stays zero; eight bits, since
    # XNNPACK leaves int4 alone.
    integers = np.random.default_rng(0).integers(-9, 10, (16, 5))
    kernel = (integers * 2.0 ** np.array([20, 17, -5, 16, 0])).astype("float32")
    kernel[:, 4] = 0
    bias = tf.constant([0.0, 7.0, 0.1, -1e4, 0.5])

    def dense(x):
        image = tf.reshape(rounded(x, -1, 127 / 128), (-1, 1, 1, 16))
        y = tf.nn.conv2d(image, tf.reshape(kernel, (1, 1, 16, 5)), 1, "VALID") + bias
        return rounded(tf.reshape(y, (-1, 5)), low, 2)

    file = converted(dense, (1, 16))
    assert worst(file, dense, (1, 16)) < 1.01
    x = np.random.default_rng(0).uniform(-1, 1, (50, 16)).astype("float32")
    x[0] = 0  # nothing but the bias
    np.testing.assert_array_equal(file.predict(x), file.predict(x, kernels="reference"))
    assert len(np.unique(file.predict(x)[:, 2])) > 10  # channels within the range are as they were


def test_an_op_without_integer_kernel_stays_float_between_two_conversions():
    def function(x):
        return rounded(tf.sin(rounded(rounded(x, -1, 1) * 0.5, -0.5, 0.5)), -1, 1)

    report = inspect(converted(function, (1, 4)))
    assert [op.name for op in report.float_islands] == ["SIN"]
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == ("int8", "int8")


def test_an_unrounded_tensor_leaves_its_ops_in_float():
    def function(x):
        y = rounded(tf.matmul(rounded(x, -1, 1), on_grid((4, 4))), -4, 4)
        return rounded(tf.exp(tf.abs(y)), 0, 9)

    file = converted(function, (1, 4))
    assert [op.name for op in inspect(file).float_islands] == ["ABS", "EXP"]
    assert worst(file, function, (1, 4)) < 0.01


def test_8_and_16_bits_meet_exactly():
    kernel = on_grid((8, 4))

    def widens(x):
        return in_16_bits(tf.matmul(rounded(x, -1, 1), kernel), 4)

    def narrows(x):
        return rounded(tf.matmul(in_16_bits(x, 1), kernel), -4, 4)

    for function, dtype in ((widens, "int16"), (narrows, "int8")):
        file = converted(function, (1, 8))
        report = inspect(file)
        assert report.float_islands == []
        assert report.outputs[0].dtype == dtype
        assert worst(file, function, (1, 8)) < 1.01


def test_inputs_of_a_concatenation_are_brought_to_its_grid():
    def function(a, b):
        return rounded(tf.concat([rounded(a, -1, 1), rounded(b, -0.5, 0.5)], -1), -1.5, 1.5)

    file = converted(function, (1, 4), (1, 4))
    assert [op.name for op in inspect(file).ops].count("QUANTIZE") == 2
    assert worst(file, function, (1, 4), (1, 4)) < 1.01


def test_a_prescribed_grid_is_kept_and_converted():
    def function(x):
        return rounded(tf.tanh(rounded(x, -1, 1)), -2, 2)

    file = converted(function, (1, 4))
    names = [op.name for op in inspect(file).ops]
    assert names == ["TANH", "QUANTIZE"]
    assert worst(file, function, (1, 4)) < 1.01


def test_float_edges():
    def function(x):
        return rounded(rounded(x, -1, 1) * 0.5, -0.5, 0.5)

    file = converted(function, (1, 4), edges="float32")
    report = inspect(file)
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == ("float32", "float32")
    assert [op.name for op in report.ops] == ["QUANTIZE", "MUL", "DEQUANTIZE"]


def test_an_input_is_integer_though_it_is_reshaped_before_it_is_rounded():
    kernel = on_grid((4, 3))

    def function(x):
        return rounded(tf.matmul(rounded(tf.reshape(x, (1, 4)), -1, 1), kernel), -2, 2)

    file = converted(function, (1, 2, 2))
    assert inspect(file).inputs[0].dtype == "int8"
    assert worst(file, function, (1, 2, 2)) < 1.01

    def beside(x):  # something computes with the input as it is
        return function(x) + tf.sin(x[:, 0, :1])

    assert inspect(converted(beside, (1, 2, 2))).inputs[0].dtype == "float32"


def test_a_bias_never_overflows():
    kernel = np.zeros((4, 3), "float32")
    kernel[0] = [1e-7, 0, 0.5]
    bias = tf.constant([900.0, -900.0, 0.0])

    def function(x):
        return rounded(tf.matmul(rounded(x, -1, 1), tf.constant(kernel)) + bias, -1000, 1000)

    assert worst(converted(function, (1, 4)), function, (1, 4)) < 1.01


def test_same_bytes_twice_and_no_file_without_rounding_changes_its_ops():
    def function(x):
        return tf.nn.relu(x + 1.0)

    file = converted(function, (1, 4))
    assert [op.dtype for op in inspect(file).ops] == ["float32"]
    assert to_integer(file.content) == to_integer(file.content)


@pytest.mark.parametrize("shape", [(1, 4), (1, 2, 2)])
def test_a_rounded_input_given_back_is_rounded(shape):
    def function(x):
        return rounded(tf.reshape(rounded(x, -1, 1), (1, 4)), -1, 1)

    assert worst(converted(function, shape), function, shape) < 0.01

"""What LiteRT's integer kernels refuse or abort at: no file asks for it."""

import numpy as np
import pytest
import tensorflow as tf

from converters import Flatbuffer
from converters.calibration import measure_ranges
from converters.integer import quantize, with_integer_kernels
from converters.integer.file import FlatFile
from tests.converters.lite_files import lite_file

SHAPE = (1, 2, 2, 4)
EXTREMES = {
    "nothing comes out": ((-1, 1), (0, 0)),
    "nothing comes in": ((0, 0), (-1, 1)),
    "always zero": ((0, 0), (0, 0)),
    "tiny": ((-1e-30, 1e-30), (0, 1e-35)),
    "far larger in than out": ((-1e6, 1e6), (0, 1e-3)),
    "huge in": ((-1e30, 1e30), (0, 0)),
    "huge": ((-1e30, 1e30), (-1e30, 1e30)),
}
FUNCTIONS = {
    "ADD": lambda x, y: x + y,
    "SUB": lambda x, y: x - y,
    "MUL": lambda x, y: x * y,
    "SQUARED_DIFFERENCE": tf.math.squared_difference,
    "HARD_SWISH": lambda x, y: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    "SOFTMAX": lambda x, y: tf.nn.softmax(x),
    "LOG_SOFTMAX": lambda x, y: tf.nn.log_softmax(x),
    "RELU6": lambda x, y: tf.nn.relu6(x),
    "MEAN": lambda x, y: tf.reduce_mean(x, -1),
}


def float_file(function) -> bytes:
    specs = [tf.TensorSpec(SHAPE, name=name) for name in "xy"]
    plain = tf.autograph.experimental.do_not_convert(function)
    return with_integer_kernels(lite_file(plain, *specs).content)


def check_that_it_runs(content: bytes, batch: int = 2) -> None:
    """In a process of its own, as any file that was read, with each set of kernels."""
    integers = np.random.default_rng(0).integers(-128, 128, (2, batch, *SHAPE[1:])).astype("int8")
    file = Flatbuffer(content)
    for kernels in ("xnnpack", "builtin", "reference"):
        file.predict({"x": integers[0], "y": integers[1]}, kernels=kernels)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_no_range_makes_a_kernel_abort(name):
    content = float_file(FUNCTIONS[name])
    file = FlatFile(content)
    inputs = set(map(int, file.graph.inputs))
    floats = [t for t in range(len(file.graph.tensors)) if file.dtype(t) == "float32"]
    computed = [t for t in floats if file.constant(t) is None]
    for incoming, outgoing in EXTREMES.values():
        ranges = {t: incoming if t in inputs else outgoing for t in computed}
        check_that_it_runs(quantize(content, ranges))


UNARY = (
    lambda x: -x,
    tf.square,
    tf.nn.relu,
    tf.nn.relu6,
    tf.tanh,
    tf.sigmoid,
    tf.nn.softmax,
    tf.nn.log_softmax,
    lambda x: x * tf.nn.relu6(x + 3.0) * (1 / 6),
    lambda x: tf.nn.leaky_relu(x, 0.1),
    lambda x: tf.minimum(x, 0.0),
    lambda x: tf.math.rsqrt(tf.square(x) + 1e-3),
    lambda x: x - tf.reduce_mean(x, (1, 2), keepdims=True),
    lambda x: x + tf.reduce_sum(x, -1, keepdims=True),
    lambda x: tf.math.squared_difference(x, tf.reduce_mean(x, -1, keepdims=True)),
    lambda x: tf.nn.conv2d(x, tf.zeros((1, 1, 4, 4)), 1, "VALID"),
    lambda x: tf.nn.conv2d(x, tf.eye(4)[None, None], 1, "VALID") - 1e3,
    lambda x: tf.nn.avg_pool2d(x, 2, 1, "SAME"),
)
BINARY = (
    tf.add,
    tf.subtract,
    tf.multiply,
    tf.maximum,
    tf.math.squared_difference,
    lambda x, y: tf.concat([x[..., :2], y[..., 2:]], -1),
)


def random_function(seed: int):
    """Some of the ops above in a row, on what was computed before."""

    def function(x, y):
        rng = np.random.default_rng(seed)
        values = [x, y]
        for _ in range(8):
            first, second = rng.integers(len(values), size=2)
            if rng.random() < 0.7:
                values.append(UNARY[rng.integers(len(UNARY))](values[first]))
            else:
                values.append(BINARY[rng.integers(len(BINARY))](values[first], values[second]))
        return tuple(values[-3:])

    return function


def check_random_graph(seed: int) -> None:
    content, rng = float_file(random_function(seed)), np.random.default_rng(seed)
    kinds = [np.zeros, lambda s: np.full(s, rng.normal()), rng.standard_normal]
    samples = {n: kinds[rng.integers(3)]((4, *SHAPE[1:])).astype("float32") for n in "xy"}
    check_that_it_runs(quantize(content, measure_ranges(content, samples)))


@pytest.mark.parametrize("seed", range(12))
def test_graphs_of_what_is_constant_run(seed):
    check_random_graph(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 200))
def test_more_graphs_of_what_is_constant_run(seed):
    check_random_graph(seed)

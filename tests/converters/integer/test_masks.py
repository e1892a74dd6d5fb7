"""What masks put before a softmax, against NumPy and in every set of kernels."""

import numpy as np
import pytest
import tensorflow as tf

from converters import Flatbuffer
from converters.calibration import measure_ranges
from converters.inspection import inspect
from converters.integer import quantize, with_integer_kernels
from tests.converters.lite_files import lite_file

RNG = np.random.default_rng(0)
X = RNG.uniform(-3, 3, (30, 4, 8)).astype("float32")
MASK = np.tri(4, 8, 2, dtype=bool)
SHOWN = np.arange(8) < RNG.integers(1, 9, (30, 1, 1))
ADDED = np.where(MASK, 0, -1e9).astype("float32")


def integer_file(function, bits=8, **inputs) -> Flatbuffer:
    specs = [tf.TensorSpec((1, *v.shape[1:]), v.dtype, name) for name, v in inputs.items()]
    content = with_integer_kernels(lite_file(function, *specs).content)
    return Flatbuffer(quantize(content, measure_ranges(content, inputs), activation_bits=bits))


def softmax(scores, shown):
    powers = np.exp(scores.astype("float64")) * shown
    return powers / powers.sum(-1, keepdims=True)


CONSTANT = {
    "picked": lambda x: tf.where(MASK, x * 2.0, -1e9),
    "picked, minus infinity": lambda x: tf.where(MASK, x * 2.0, -np.inf),
    "shifted, as in keras.layers.Attention": lambda x: tf.where(MASK, x * 2.0, x * 2.0 - 1e9),
    "added": lambda x: x * 2.0 + ADDED,
    "added, minus infinity": lambda x: x * 2.0 + np.where(MASK, 0, -np.inf).astype("float32"),
    "added, small": lambda x: x * 2.0 + np.where(MASK, 0, -1e4).astype("float32"),
}
INPUT = {
    "factor": lambda x, m: x * 2.0 + (1.0 - m) * -1e9,
    "factor, before a view": lambda x, m: x * 2.0 + tf.reshape((m - 1.0) * 1e4, (1, 1, 8)),
    "subtracted": lambda x, m: x * 2.0 - (1.0 - m) * 1e9,
    "picked summand": lambda x, m: x * 2.0 + tf.where(m > 0.5, 0.0, np.finfo("float32").min),
}


@pytest.mark.parametrize("case", CONSTANT)
def test_scores_keep_their_steps_beside_a_constant(case):
    file = integer_file(lambda x: tf.nn.softmax(CONSTANT[case](x)), x=X)
    assert inspect(file).float_islands == []
    for kernels in ("xnnpack", "builtin", "reference"):
        found = file.predict(X, kernels=kernels)
        assert np.abs(found - softmax(X * 2, MASK)).max() < 0.04  # a step of the scores is 0.1
        assert found[:, ~MASK].max() == 0


@pytest.mark.parametrize("case", INPUT)
def test_scores_keep_their_steps_beside_a_mask_of_the_users(case):
    samples = {"x": X, "m": SHOWN.astype("float32")}
    file = integer_file(lambda x, m: tf.nn.softmax(INPUT[case](x, m)), **samples)
    if case != "picked summand":  # which compares in float
        assert inspect(file).float_islands == []
    for kernels in ("xnnpack", "builtin", "reference"):
        found = file.predict(samples, kernels=kernels)
        assert np.abs(found - softmax(X * 2, SHOWN)).max() < 0.04
        assert found[np.broadcast_to(~SHOWN, found.shape)].max() == 0


def test_an_input_that_is_added_as_it_is():
    samples = {"x": X, "m": np.where(SHOWN, 0, -1e9).astype("float32")}
    file = integer_file(lambda x, m: tf.nn.softmax(x * 2.0 + m), **samples)
    with pytest.warns(UserWarning, match="are clipped"):
        found = file.predict(samples)
    assert np.abs(found - softmax(X * 2, SHOWN)).max() < 0.04
    assert found[np.broadcast_to(~SHOWN, found.shape)].max() == 0


def test_scores_of_16_bits():
    file = integer_file(lambda x: tf.nn.softmax(CONSTANT["added"](x)), bits=16, x=X)
    assert np.abs(file.predict(X) - softmax(X * 2, MASK)).max() < 1e-3


def test_many_hidden_scores_take_nothing_from_those_that_are_shown():
    x = RNG.uniform(-3, 3, (20, 1, 2000)).astype("float32")
    shown = np.arange(2000) < 4
    file = integer_file(lambda x: tf.nn.softmax(tf.where(shown, x, -1e9)), x=x)
    assert np.abs(file.predict(x)[..., :4] - softmax(x, shown)[..., :4]).max() < 0.03


def test_what_else_reads_a_mask_reads_it_as_it_is():
    """A bias of moderate size, and what is a mask's and an output's too, stay."""
    bias = -np.abs(np.arange(8) - np.arange(4)[:, None]).astype("float32")
    file = integer_file(lambda x: tf.nn.softmax(x + bias), x=X)
    assert np.abs(file.predict(X) - softmax(X + bias, True)).max() < 0.03

    def both(x, m):
        added = (1.0 - m) * -1e4
        return tf.nn.softmax(x + added), added

    samples = {"x": X, "m": SHOWN.astype("float32")}
    outputs = integer_file(both, **samples).predict(samples).values()
    (added,) = [each for each in outputs if each.shape[1:] == (1, 8)]
    assert added.min() < -9e3

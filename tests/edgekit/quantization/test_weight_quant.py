import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from edgekit.quantization.weight_quant import quantize_kernel


def kernel(seed=0, shape=(3, 3, 4, 6)):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


@given(st.integers(0, 10_000), st.sampled_from([None, (-1,), (-2, -1)]))
@settings(max_examples=30, deadline=None)
def test_rounding_twice_is_rounding_once_and_zeros_stay(seed, axes):
    values = kernel(seed) * (np.random.default_rng(seed).random((3, 3, 4, 6)) < 0.5)
    once = np.asarray(quantize_kernel(values, axes))
    np.testing.assert_allclose(np.asarray(quantize_kernel(once, axes)), once, atol=1e-6)
    np.testing.assert_array_equal(once[values == 0], 0)


@pytest.mark.parametrize(("axes", "scales"), [(None, 1), ((-1,), 6), ((-2, -1), 24)])
def test_values_lie_on_the_grid_of_the_formula(axes, scales):
    values = kernel()
    rounded = np.asarray(quantize_kernel(values, axes))
    count = {None: 1, (-1,): 6, (-2, -1): 24}[axes]
    assert count == scales
    flat = values.reshape(-1, count) if axes else values.reshape(-1, 1)
    step = np.abs(flat).max(axis=0) / 127
    integers = rounded.reshape(flat.shape) / step
    np.testing.assert_allclose(integers, np.round(flat / step), atol=1e-3)
    assert np.abs(integers).max() <= 127 + 1e-3


def test_commutes_with_a_factor_per_channel():
    """Why BatchNorm needs no second convolution while training."""
    factor = np.linspace(-2, 3, 6).astype("float32") + 0.1
    before = np.asarray(quantize_kernel(kernel(), (-1,))) * factor
    after = np.asarray(quantize_kernel(kernel() * factor, (-1,)))
    np.testing.assert_allclose(before, after, atol=1e-5)


def test_gradients_pass_straight_through():
    variable = tf.Variable(kernel())
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(quantize_kernel(variable, (-1,)) * 3.0)
    np.testing.assert_array_equal(tape.gradient(loss, variable), np.full((3, 3, 4, 6), 3.0))


def test_a_channel_of_zeros_keeps_a_usable_scale():
    """Else its bias, in units of that scale, overflows int32 on the device."""
    values = kernel()
    values[..., 2] = 0
    values[..., 3] *= 1e-12
    rounded = np.asarray(quantize_kernel(values, (-1,)))
    assert np.isfinite(rounded).all()
    np.testing.assert_array_equal(rounded[..., 2:4], 0)
    np.testing.assert_array_equal(np.asarray(quantize_kernel(np.zeros((2, 3)), None)), 0)


def test_the_bias_keeps_a_scale_it_can_be_counted_in():
    tiny = np.full((1, 1, 2, 2), 1e-9, "float32")
    free = np.asarray(quantize_kernel(tiny, (-1,)))
    np.testing.assert_allclose(free, tiny, rtol=1e-3)
    bias = np.array([1.0, 0.0], "float32")
    held = np.asarray(quantize_kernel(tiny, (-1,), bias))
    assert held[..., 0].max() == 0  # below half a step of 2**-14 / 127
    np.testing.assert_allclose(held[..., 1], tiny[..., 1], rtol=1e-3)
    assert np.asarray(quantize_kernel(tiny, None, bias)).max() == 0


def test_keeps_its_dtype():
    half = keras.ops.cast(kernel(), "float16")
    assert keras.backend.standardize_dtype(quantize_kernel(half, (-1,)).dtype) == "float16"

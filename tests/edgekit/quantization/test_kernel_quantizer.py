import keras
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

import edgekit as ek
from edgekit.core.selection import all_layers
from edgekit.quantization import KernelQuantizer


def kernel(seed=0, shape=(3, 3, 4, 6)):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def quantize(values, axes=None, bits=8, bias=None):
    return np.asarray(KernelQuantizer(bits, axes)(values, bias=bias))


@given(st.integers(0, 10_000), st.sampled_from([None, (-1,), (-2, -1), (-2,)]))
@settings(max_examples=30)
def test_rounding_twice_is_rounding_once_and_zeros_stay(seed, axes):
    values = kernel(seed) * (np.random.default_rng(seed).random((3, 3, 4, 6)) < 0.5)
    once = quantize(values, axes)
    np.testing.assert_allclose(quantize(once, axes), once, atol=1e-6)
    np.testing.assert_array_equal(once[values == 0], 0)


@pytest.mark.parametrize(("axes", "scales"), [(None, 1), ((-1,), 6), ((-2, -1), 24)])
@pytest.mark.parametrize(("bits", "levels"), [(8, 127), (4, 7), (2, 1)])
def test_values_lie_on_the_grid_of_the_formula(axes, scales, bits, levels):
    values = kernel()
    flat = values.reshape(-1, scales)
    step = np.abs(flat).max(axis=0) / levels
    integers = quantize(values, axes, bits).reshape(flat.shape) / step
    np.testing.assert_allclose(integers, np.round(flat / step), atol=1e-3)
    assert np.abs(integers).max() <= levels + 1e-3


def test_channels_may_be_on_an_inner_axis():
    """As in transposed convolutions."""
    values = kernel()
    swapped = quantize(np.swapaxes(values, -1, -2), (-2,))
    np.testing.assert_allclose(np.swapaxes(swapped, -1, -2), quantize(values, (-1,)), atol=1e-6)


def test_commutes_with_a_factor_per_channel():
    """Why BatchNorm needs no second convolution while training."""
    factor = np.linspace(-2, 3, 6).astype("float32") + 0.1
    for bits in (8, 4, "ternary", "binary"):
        before = quantize(kernel(), (-1,), bits) * factor
        np.testing.assert_allclose(before, quantize(kernel() * factor, (-1,), bits), atol=1e-5)


def test_binary_is_xnor_net_and_ternary_is_twn():
    values = kernel()
    size = np.abs(values).mean(axis=(0, 1, 2))
    np.testing.assert_allclose(quantize(values, (-1,), "binary"), np.sign(values) * size, rtol=1e-5)
    kept = np.abs(values) > 0.7 * size
    scale = (np.abs(values) * kept).sum(axis=(0, 1, 2)) / kept.sum(axis=(0, 1, 2))
    expected = np.sign(values) * kept * scale
    np.testing.assert_allclose(quantize(values, (-1,), "ternary"), expected, rtol=1e-5)


@pytest.mark.parametrize("bits", [8, 4, "ternary", "binary"])
def test_gradients_pass_straight_through(bits):
    variable = tf.Variable(kernel())
    quantizer = KernelQuantizer(bits, (-1,))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(quantizer(variable) * 3.0)
    np.testing.assert_allclose(tape.gradient(loss, variable), np.full((3, 3, 4, 6), 3.0))


def test_learned_scales_have_the_gradient_of_lsq():
    values = kernel(shape=(50, 2))
    quantizer = KernelQuantizer(4, (-1,), learned=True)
    quantizer.build(values.shape)
    quantizer.start_from(values)
    scale = np.asarray(quantizer.start)[0]
    np.testing.assert_allclose(
        scale, np.minimum(2 * np.abs(values).mean(0) / np.sqrt(7), np.abs(values).max(0) / 7), 1e-5
    )
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(quantizer(tf.constant(values)))
    found = np.asarray(tape.gradient(loss, quantizer.change.value))[0]
    places = values / scale
    inside = np.abs(places) < 7.001
    of_scale = np.where(inside, np.round(places) - places, np.sign(places) * 7).sum(0)
    # d/d(change) = scale * d/d(scale), times LSQ's 1 / sqrt(weights * levels)
    np.testing.assert_allclose(found, of_scale * scale / np.sqrt(50 * 7), rtol=1e-3)


def test_a_channel_of_zeros_keeps_a_usable_scale():
    """Else its bias, in units of that scale, overflows int32 on the device."""
    values = kernel()
    values[..., 2] = 0
    values[..., 3] *= 1e-12
    rounded = quantize(values, (-1,))
    assert np.isfinite(rounded).all()
    np.testing.assert_array_equal(rounded[..., 2:4], 0)
    for bits in (8, 4, "ternary", "binary"):
        np.testing.assert_array_equal(quantize(np.zeros((2, 3), "float32"), None, bits), 0)


def test_the_bias_keeps_a_scale_it_can_be_counted_in():
    tiny = np.full((1, 1, 2, 2), 1e-9, "float32")
    np.testing.assert_allclose(quantize(tiny, (-1,)), tiny, rtol=1e-3)
    held = quantize(tiny, (-1,), bias=np.array([1.0, 0.0], "float32"))
    assert held[..., 0].max() == 0  # below half a step of 2**-14 / 127
    np.testing.assert_allclose(held[..., 1], tiny[..., 1], rtol=1e-3)


def test_config_round_trip():
    layer = KernelQuantizer("ternary", (-2, -1), name="k")
    again = KernelQuantizer.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()
    assert (
        keras.saving.serialize_keras_object(layer)["registered_name"] == "edgekit>KernelQuantizer"
    )


def test_int4_learns_the_steps_of_every_kernel():
    """In attention, EinsumDense, own layers and recurrent cells too, started as LSQ has it."""
    keras.utils.set_random_seed(0)
    x = keras.Input((4, 6))
    y = keras.layers.MultiHeadAttention(2, 3, name="attention")(x, x)
    y = keras.layers.EinsumDense("abc,cd->abd", (None, 5), name="einsum")(y)
    y = keras.layers.LayerNormalization()(y)
    model = keras.Model(x, keras.layers.GRU(3, name="gru")(y))
    qat = ek.quantize_aware(model, "int4")
    quantizers = [layer for layer in all_layers(qat) if isinstance(layer, KernelQuantizer)]
    learned = [layer for layer in quantizers if layer.learned]
    # Four of attention, one of EinsumDense, two of the GRU; one weight per scale has no step to
    # learn, as the normalization's.
    assert (len(learned), len(quantizers)) == (7, 8)
    kernels = [
        model.get_layer("einsum").kernel,
        *(np.reshape(v, (6, 6)) for v in model.get_layer("attention").weights[:6:2]),
        np.reshape(model.get_layer("attention").weights[6], (6, 6)),
        *model.get_layer("gru").weights[:2],
    ]
    expected = []
    for values in map(np.asarray, kernels):
        mean, largest = np.abs(values).mean(0), np.abs(values).max(0)
        expected.append(np.minimum(2 * mean / np.sqrt(7), largest / 7))
    found = [np.asarray(layer.start).ravel() for layer in learned]
    np.testing.assert_allclose(
        np.sort(np.concatenate(found)), np.sort(np.concatenate(expected)), rtol=1e-5
    )
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(qat(np.random.default_rng(0).normal(size=(8, 4, 6)), training=True))
    for layer, gradient in zip(
        learned, tape.gradient(loss, [layer.change.value for layer in learned]), strict=True
    ):
        assert np.abs(gradient).max() > 0, layer.path


@pytest.mark.parametrize("shape", [(3, 3, 4, 6), (1, 1, 4, 6), (3, 3, 4, 1), (4, 6)])
@pytest.mark.parametrize("per_channel", [True, False])
def test_training_rounds_as_inference_does_in_few_operations(shape, per_channel):
    axes = (-2, -1) if shape[-1] == 1 else (-1,)
    values = kernel(1, shape)
    bias = np.random.default_rng(2).normal(size=max(shape[-2:]) if axes == (-2, -1) else shape[-1])
    bias = bias.astype("float32") * 1e5  # large enough to decide some scales
    quantizer = KernelQuantizer(channel_axes=axes if per_channel else None)
    spec = [tf.TensorSpec(values.shape), tf.TensorSpec(bias.shape)]

    @tf.function(input_signature=spec)
    def step(values, bias):
        with tf.GradientTape() as tape:
            tape.watch([values, bias])
            rounded = quantizer(values, bias=bias, training=True)
        return rounded, tape.gradient(rounded, [values, bias], unconnected_gradients="zero")

    rounded, gradients = step(values, bias)
    # A graph divides by the number of levels by multiplying: the last bit may differ.
    np.testing.assert_allclose(rounded, quantizer(values, bias=bias), rtol=2e-7)
    np.testing.assert_array_equal(gradients[0], np.ones(shape))
    np.testing.assert_array_equal(gradients[1], np.zeros(bias.shape))
    call = tf.function(lambda v, b: quantizer(v, bias=b, training=True))
    concrete = call.get_concrete_function(*spec)
    assert concrete.structured_outputs.shape == shape
    assert len(concrete.graph.get_operations()) <= 8

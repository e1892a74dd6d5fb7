"""What is called several times has activation ranges of its own for each call."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from edgekit.core.selection import all_layers
from edgekit.quantization import FakeQuantize
from edgekit.quantization.call_sites import RepeatedModel

SMALL = np.random.default_rng(0).normal(size=(64, 4, 8)).astype("float32")
LARGE = 8 * np.random.default_rng(1).normal(size=(64, 4, 8)).astype("float32")


def decibel(expected, found):
    return 10 * np.log10(np.mean(expected**2) / np.mean((expected - found) ** 2))


def outputs_of(model, x):
    return {name: np.asarray(output) for name, output in model(x).items()}


def encoder(name):
    return keras.Sequential(
        [keras.Input((4, 8)), layers.Dense(8, activation="relu"), layers.Dense(4)], name=name
    )


def shared_parts():
    """`{name: layer or model}`, each to be called twice."""
    between = layers.Dense(6, activation="swish", name="between")
    first = keras.Sequential([keras.Input((4, 8)), between, layers.Dense(3)], name="first")
    second = keras.Sequential([keras.Input((4, 8)), between, layers.ReLU()], name="second")
    inside = encoder("inside")
    x = keras.Input((4, 8))
    twice = keras.Model(x, layers.Dense(3)(layers.Multiply()([inside(x), inside(4.0 * x)])))
    return {
        "encoder": encoder("encoder"),
        "first": first,
        "second": second,
        "between": between,
        "twice": twice,
        "attention": layers.MultiHeadAttention(2, 4),
        "norm": layers.LayerNormalization(),
        "gru": layers.GRU(4),
        "separable": layers.SeparableConv1D(5, 2),
        "einsum": layers.EinsumDense("abc,cd->abd", (None, 5), activation="gelu"),
    }


def siamese(names):
    """A model that calls each part on a small and on a large input."""
    keras.utils.set_random_seed(0)
    parts = shared_parts()
    inputs = {size: keras.Input((4, 8), name=size) for size in ("small", "large")}
    outputs = {}
    for name in names:
        for size, x in inputs.items():
            call = parts[name](x, x) if name == "attention" else parts[name](x)
            outputs[f"{name}_{size}"] = call
    return keras.Model(inputs, outputs)


@pytest.fixture(scope="module")
def compared():
    """`({output: float}, {output: quantization-aware}, quantization-aware model, float model)`."""
    model, x = siamese(shared_parts()), {"small": SMALL, "large": LARGE}
    qat = ek.quantize_aware(model, "int8")
    qat(x, training=True)
    return outputs_of(model, x), outputs_of(qat, x), qat, model


@pytest.mark.parametrize("part", list(shared_parts()))
def test_a_call_is_rounded_as_if_it_were_the_only_one(compared, part):
    """The right value: the same part in a model that calls it on one of the inputs only."""
    expected, found, _, model = compared
    for size, x in (("small", SMALL), ("large", LARGE)):
        output = f"{part}_{size}"
        alone = keras.Model(model.input[size], model.output[output])
        qat = ek.quantize_aware(alone, "int8")
        qat(x, training=True)
        np.testing.assert_allclose(found[output], np.asarray(qat(x)), atol=1e-5)
        assert decibel(expected[output], found[output]) > 20


def test_weights_stay_shared(compared):
    _, _, qat, model = compared
    assert len(qat.trainable_variables) == len(model.trainable_variables)
    plain = ek.strip(qat)
    assert plain.count_params() == model.count_params()
    x = {"small": SMALL, "large": LARGE}
    found, expected = outputs_of(plain, x), outputs_of(model, x)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])


def test_the_file_has_a_range_for_each_call():
    """Post-training quantization has; here it is 30 dB or more where one range gave 10."""
    model, x = siamese(["encoder"]), {"small": SMALL, "large": LARGE}
    qat = ek.quantize_aware(model)
    qat(x, training=True)
    found = ek.convert(qat, "int8")["int8"].predict(x)
    for name, expected in outputs_of(model, x).items():
        assert decibel(expected, found[name]) > 30, name


def test_saved_and_loaded_it_trains_on(tmp_path):
    names = ["encoder", "norm", "separable"]
    model, x = siamese(names), {"small": SMALL, "large": LARGE}
    qat = ek.quantize_aware(model, "int4")
    qat.compile("sgd", "mse", run_eagerly=True)
    qat.fit(x, outputs_of(model, x), verbose=0)
    qat.save(tmp_path / "qat.keras")
    again = keras.models.load_model(tmp_path / "qat.keras")
    assert isinstance(again.get_layer("encoder"), RepeatedModel)
    found, expected = outputs_of(again, x), outputs_of(qat, x)
    for name in expected:
        np.testing.assert_array_equal(found[name], expected[name])
    ranges = [layer for layer in all_layers(again) if isinstance(layer, FakeQuantize)]
    assert all(layer.calibrated for layer in ranges)
    again.fit(x, expected, verbose=0)


def test_a_call_that_has_seen_nothing_makes_the_range_unfit_to_convert():
    layer = FakeQuantize(sites=2)
    layer(SMALL, training=True)
    assert not layer.calibrated


@keras.saving.register_keras_serializable(package="test_call_sites")
class Mixed(layers.Layer):
    """Computes something else by its argument, and by the length of its input."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 4), name="kernel")

    def call(self, x, factor=1.0):
        return ops.reshape(ops.matmul(x, self.kernel) * factor, (-1, 4 * x.shape[1]))


def test_calls_with_other_arguments_or_shapes_compute_what_they_are_told(tmp_path):
    x, longer = keras.Input((4, 8)), keras.Input((6, 8))
    mixed, attention, add = Mixed(), layers.MultiHeadAttention(2, 4), layers.Add()
    steps = layers.TimeDistributed(layers.Dense(3, activity_regularizer="l2"))
    calls = [mixed(x), mixed(x, factor=5.0), mixed(longer), steps(x), steps(longer)]
    calls += [attention(x, x), attention(x, x, use_causal_mask=True), attention(x, longer)]
    calls += [add([calls[0], calls[1]]), add([calls[0], calls[1], calls[0]])]
    model = keras.Model([x, longer], calls)
    inputs = [SMALL, np.concatenate([SMALL, SMALL[:, :2]], axis=1)]
    qat = ek.quantize_aware(model)
    qat(inputs, training=True)
    expected, found = model(inputs), qat(inputs)
    for output, right in zip(found, expected, strict=True):
        assert decibel(np.asarray(right), np.asarray(output)) > 25
    qat.save(tmp_path / "qat.keras")
    again = keras.models.load_model(tmp_path / "qat.keras")
    for output, right in zip(again(inputs), found, strict=True):
        np.testing.assert_array_equal(output, right)
    for each in (qat, again, ek.strip(again)):
        assert len(each.trainable_variables) == len(model.trainable_variables)
    for output, right in zip(ek.strip(again)(inputs), expected, strict=True):
        np.testing.assert_array_equal(output, right)

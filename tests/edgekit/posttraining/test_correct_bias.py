import keras
import numpy as np
import pytest
from keras import layers

from edgekit.posttraining import correct_bias, fold_batchnorm
from edgekit.posttraining.rounding import rounded_kernel


def net():
    keras.utils.set_random_seed(0)
    x = image = keras.Input((12, 12, 3))
    for filters in (16, 24):
        x = layers.Conv2D(filters, 3, use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.1)(x)
        x = layers.ReLU()(x)
        x = layers.DepthwiseConv2D(3, activation="relu")(x)
    inner = keras.Sequential([keras.Input((24,)), layers.Dense(8, activation="swish")])
    x = inner(layers.GlobalAveragePooling2D()(x))
    model = keras.Model(image, layers.Dense(4)(x))
    for seed in range(5):
        model(data(seed=seed), training=True)
    return model


def data(samples=64, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (samples, 12, 12, 3)).astype("float32")


def with_rounded_kernels(model, bits, per_channel=True):
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    for layer in copy._flatten_layers():
        if isinstance(layer, (layers.Conv2D, layers.DepthwiseConv2D, layers.Dense)):
            layer.kernel.assign(rounded_kernel(layer, bits, per_channel))
    return copy


@pytest.mark.parametrize(("bits", "per_channel"), [(8, True), (4, True), (4, False)])
def test_outputs_have_the_mean_they_had(bits, per_channel):
    model, x = net(), data(256)
    pair = (fold_batchnorm(model), correct_bias(model, x, bits, per_channel))

    def shifts(samples):
        expected = np.asarray(model(samples))
        found = [np.asarray(with_rounded_kernels(m, bits, per_channel)(samples)) for m in pair]
        return [np.abs((f - expected).mean(axis=0)).mean() for f in found]

    before, after = shifts(x)
    assert after < 1e-3 * before  # the law, on the samples themselves
    before, after = shifts(data(256, seed=1))
    assert after < 0.3 * before


def test_kernels_and_the_model_stay():
    model, x = net(), data()
    before = model.get_weights()
    better, folded = correct_bias(model, x, bits=4), fold_batchnorm(model)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(better.weights, folded.weights, strict=True):
        same = np.array_equal(a, b)
        assert same == (a.name == "kernel"), a.path


def test_the_same_data_give_the_same_biases():
    model, x = net(), data()
    one, two = (correct_bias(model, x, bits=4).get_weights() for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"bits": 1}, "`bits` must be a whole number from 2 to 8. Received: bits=1"),
        ({"bits": "4"}, "`bits` must be"),
        ({"data": np.zeros((0, 12, 12, 3))}, "must have shape .* with samples"),
        ({"data": np.zeros((4, 12))}, "must have shape"),
        ({"data": [np.zeros((4, 12, 12, 3))] * 2}, "an array for each of the model's 1 inputs"),
        ({"data": np.full((4, 12, 12, 3), np.nan)}, "NaN or infinite"),
    ],
)
def test_bad_requests(options, match):
    with pytest.raises(ValueError, match=match):
        correct_bias(net(), **{"data": data(), **options})

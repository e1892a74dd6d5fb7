import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from edgekit.posttraining import equalize


def separable_net(activation="relu", imbalance=1.0, batchnorm=True):
    """Depthwise and pointwise layers whose channels differ in size by `imbalance`, forced."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((12, 12, 3))
    for i, (kind, size) in enumerate([("conv", 16), ("depthwise", 16), ("conv", 24)]):
        options = {"use_bias": not batchnorm, "name": f"{kind}{i}"}
        if kind == "conv":
            x = layers.Conv2D(size, 1, **options)(x)
        else:
            x = layers.DepthwiseConv2D(3, **options)(x)
        if batchnorm:
            x = layers.BatchNormalization(name=f"norm{i}")(x)
        x = layers.ReLU(6.0 if activation == "relu6" else None)(x)
    model = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(x)))
    data = np.random.default_rng(0).normal(size=(256, 12, 12, 3)).astype("float32")
    if batchnorm:
        for layer in model.layers:
            layer.momentum = 0.1
        for _ in range(5):
            model(data, training=True)
        norm, depthwise = model.get_layer("norm0"), model.get_layer("depthwise1")
        factor = np.geomspace(1 / imbalance, imbalance, 16).astype("float32")
        norm.gamma.assign(norm.gamma * factor)
        norm.beta.assign(norm.beta * factor)
        depthwise.kernel.assign(depthwise.kernel / factor[:, None])
    return model, data


def test_the_function_stays_and_ranges_become_equal():
    model, x = separable_net(imbalance=30.0)
    better = equalize(model)
    np.testing.assert_allclose(better(x), model(x), atol=1e-4)
    assert not any(isinstance(v, layers.BatchNormalization) for v in better.layers)
    before = np.abs(better.get_layer("conv0").kernel).max(axis=(0, 1, 2))
    after = np.abs(better.get_layer("depthwise1").kernel).max(axis=(0, 1, 3))
    np.testing.assert_allclose(before, after, rtol=0.01)


def test_it_is_idempotent():
    model, x = separable_net(imbalance=10.0)
    once = equalize(model)
    for a, b in zip(once.get_weights(), equalize(once).get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=0.02, atol=1e-4)


def test_relu6_becomes_relu_and_is_said():
    model, x = separable_net("relu6")
    with pytest.warns(UserWarning, match="made ReLU of ReLU6 in 3 places"):
        better = equalize(model)
    assert [v.max_value for v in better.layers if isinstance(v, layers.ReLU)] == [None] * 3
    assert [v.max_value for v in model.layers if isinstance(v, layers.ReLU)] == [6.0] * 3
    small = x * 0.2
    np.testing.assert_allclose(better(small), model(small), atol=1e-4)


def test_heights_move_into_the_next_bias():
    model, x = separable_net()
    norm = model.get_layer("norm1")
    norm.beta.assign(norm.beta + 20.0)  # far above zero in every channel
    better = equalize(model)
    # Taken to lie above the mean less three deviations, all but 0.1 % of the values do.
    np.testing.assert_allclose(better(x), model(x), rtol=0.02)
    inner = np.asarray(keras.Model(better.inputs, better.get_layer("depthwise1").output)(x))
    assert np.all(inner.min(axis=(0, 1, 2)) < 0.25 * inner.max(axis=(0, 1, 2)))


def test_per_tensor_int8_gains():
    """Rounding with one scale per tensor, as old accelerators do, simulated by QAT's wrappers."""
    model, x = separable_net(imbalance=100.0)
    scheme = ek.QuantScheme(per_channel=False)
    errors = []
    for net in (model, equalize(model)):
        rounded = ek.quantize_aware(net, scheme)
        found, expected = np.asarray(rounded(x)), np.asarray(model(x))
        errors.append(np.mean((found - expected) ** 2) / np.mean(expected**2))
    assert errors[1] < 0.01 < 0.1 * errors[0]


def test_what_has_no_pairs_stays():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(3, activation="tanh")])
    x = np.ones((2, 4), "float32")
    np.testing.assert_array_equal(equalize(model)(x), model(x))

"""Biases are integers in the file, in units of the input's step times the kernel's; QAT knows."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from edgekit.quantization import QuantizedLayer


def normalized(kind, *arguments, **options):
    """Makes its layers when it is called: names of layers made on import clash with later ones."""

    def unit(x):
        return layers.ReLU()(layers.BatchNormalization()(kind(*arguments, **options)(x)))

    return unit


def chain(x):
    """As in a MobileNet: each unit's input is on the grid of the one before."""
    x = normalized(layers.Conv2D, 4, 3, strides=2, use_bias=False)(x)
    x = normalized(layers.DepthwiseConv2D, 3, use_bias=False)(layers.ZeroPadding2D(1)(x))
    return normalized(layers.Conv2D, 4, 1, use_bias=False)(x)


def called_twice(x):
    conv = layers.Conv2D(4, 1)
    return conv(layers.MaxPooling2D(2)(conv(x)))


def excited(x):
    """Squeeze and excite: what follows the mean's rounding is a reshaping."""
    mean = layers.GlobalAveragePooling2D()(x)
    return layers.Conv2D(4, 1)(layers.Reshape((1, 1, 4))(mean))


def sequence_mean(x):
    mean = layers.GlobalAveragePooling1D()(layers.Reshape((64, 4))(x))
    return layers.Conv1D(4, 1)(layers.Reshape((1, 4))(mean))


PATTERNS = {
    "excited": excited,
    "sequence_mean": sequence_mean,
    "mean_operation": lambda x: layers.Dense(4)(ops.mean(x, (1, 2))[:, None]),
    "conv": normalized(layers.Conv2D, 4, 3),
    "depthwise": normalized(layers.DepthwiseConv2D, 3, padding="same"),
    "separable": normalized(layers.SeparableConv2D, 4, 3),
    "transpose": normalized(layers.Conv2DTranspose, 4, 2, 2),
    "chain": chain,
    "after_views": lambda x: layers.Dense(4)(layers.Flatten()(layers.MaxPooling2D(2)(x))),
    "fixed_range": lambda x: layers.Conv2D(4, 1)(layers.Activation("tanh")(x)),
    "batchnorm": lambda x: layers.BatchNormalization()(layers.MaxPooling2D(2)(x)),
    "called_twice": called_twice,
}


def data(seed):
    return np.random.default_rng(seed).normal(size=(64, 8, 8, 4)).astype("float32")


@pytest.fixture(scope="module")
def made():
    """A model with statistics and biases as training leaves them, and its file."""
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 4))
    model = keras.Model(x, {name: pattern(x) for name, pattern in PATTERNS.items()})
    random = np.random.default_rng(1)
    for weight in model.weights:
        if len(weight.shape) == 1:
            positive = weight.name in ("gamma", "moving_variance")
            of = random.uniform(0.5, 2, weight.shape) if positive else random.normal(size=4)
            weight.assign(of)
    qat = ek.quantize_aware(model)
    for seed in range(3):
        qat(data(seed), training=True)
    return qat, ek.convert(qat, "int8")["int8"]


@pytest.fixture(scope="module")
def compared(made):
    qat, file = made
    steps = {edge.name: edge.scale for edge in ek.inspect(file).outputs}
    found, expected = file.predict(data(9), kernels="xnnpack"), qat.predict(data(9), verbose=0)
    return {name: np.abs(found[name] - expected[name]) / steps[name] for name in PATTERNS}


@pytest.mark.parametrize("name", PATTERNS)
def test_kernels_that_round_once_compute_what_keras_says(compared, name):
    assert np.mean(compared[name] > 0.5) <= 0.0005  # a tie in float32


def test_a_loaded_model_knows_what_feeds_its_layers(made, tmp_path):
    qat, _ = made
    qat.save(tmp_path / "model.keras")
    loaded = ek.load_model(tmp_path / "model.keras")
    expected, found = qat.predict(data(9), verbose=0), loaded.predict(data(9), verbose=0)
    for name in PATTERNS:
        np.testing.assert_array_equal(found[name], expected[name])


def test_biases_are_those_of_the_file():
    """By hand: the dense layer's outputs of nothing but zeros are its biases."""
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(3, name="dense")(x))
    bias = np.array([0.011, -0.02, 0.3], "float32")
    model.layers[-1].bias.assign(bias)
    qat = ek.quantize_aware(model)
    inputs = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    qat(inputs, training=True)
    (dense,) = [layer for layer in qat.layers if isinstance(layer, QuantizedLayer)]
    input_step = (max(inputs.max(), 0) - min(inputs.min(), 0)) / 255
    units = input_step * np.abs(np.asarray(dense.layer.kernel)).max(axis=0) / 127
    inner = keras.Model(qat.inputs, dense.output)
    found = inner.predict(np.zeros((1, 4), "float32"), verbose=0)[0]
    np.testing.assert_allclose(found, np.round(bias / units) * units, rtol=1e-4)
    assert np.abs(found - bias).max() > 1e-6

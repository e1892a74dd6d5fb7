"""What LiteRT's kernels round in their own way, QAT rounds alike."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek


def conv(x, filters=4, size=3):
    return layers.Conv2D(filters, size, padding="same")(x)


@keras.saving.register_keras_serializable(package="test_kernel_rounding")
class OwnPool(layers.Layer):
    def call(self, x):
        return ops.average_pool(x, 2)


@keras.saving.register_keras_serializable(package="test_kernel_rounding")
class OwnResizing(layers.Layer):
    def call(self, x):
        return ops.image.resize(ops.relu(x), (3, 6))


@keras.saving.register_keras_serializable(package="test_kernel_rounding")
class OwnBlock(layers.Layer):
    """An operation follows the layers inside, as in a graph of ops."""

    def build(self, input_shape):
        self.conv, self.norm = layers.Conv2D(4, 1), layers.BatchNormalization()
        self.conv.build(input_shape)
        self.norm.build((*input_shape[:-1], 4))

    def call(self, x, training=None):
        return ops.relu(self.norm(self.conv(x), training=training))


def nested(function):
    x = keras.Input((8, 8, 4))
    return keras.Model(x, conv(function(x), size=1))


def few(channels):
    return lambda x: layers.LayerNormalization()(conv(x, channels, 1))


def picked(merge):
    return lambda x: conv(merge([x, x * 0.3]), size=1)


def clipped(x):
    return conv(ops.clip(x, -1.0, 0.7) + x, size=1)


# Each with the share of elements that may be one step off, and more than one.
PATTERNS = {
    "average": (lambda x: layers.AveragePooling2D(2)(conv(x)), 0.001, 0),
    "average_same": (lambda x: layers.AveragePooling2D(3, 2, "same")(conv(x)), 0.001, 0),
    "average_relu": (lambda x: layers.AveragePooling2D(2)(ops.relu(conv(x))), 0.001, 0),
    "average_1d": (
        lambda x: layers.AveragePooling1D(2)(layers.Reshape((64, 4))(conv(x))),
        0.001,
        0,
    ),
    "average_own": (lambda x: OwnPool()(conv(x)), 0.001, 0),
    "average_nested": (lambda x: nested(layers.AveragePooling2D(2))(conv(x)), 0.001, 0),
    "pool_dense": (
        lambda x: layers.Dense(4)(layers.Flatten()(layers.AveragePooling2D(2)(x))),
        0.001,
        0,
    ),
    "upsample": (lambda x: layers.UpSampling2D(2, interpolation="bilinear")(conv(x)), 0.001, 0),
    "resize": (lambda x: ops.image.resize(conv(x), (16, 16)), 0.001, 0),
    "resize_odd": (lambda x: layers.Resizing(13, 11)(conv(x)), 0.001, 0),
    "resize_nested": (lambda x: nested(layers.Resizing(5, 7))(conv(x)), 0.001, 0),
    "resize_inside": (lambda x: OwnResizing()(conv(x)), 0.001, 0),
    "pad_with_value": (
        lambda x: ops.pad(conv(x), [[0, 0], [1, 1], [1, 1], [0, 0]], constant_values=0.7),
        0.01,
        0,
    ),
    "own_block": (lambda x: OwnBlock()(x), 0.01, 0),
    "relu_of_batchnorm": (lambda x: ops.relu6(layers.BatchNormalization()(conv(x))), 0.01, 0),
    # Half of what is odd lies between two integers: XNNPACK goes to the even one.
    "halved": (lambda x: (lambda y: layers.Concatenate()([y, y * 0.5]))(conv(x)), 0.001, 0),
    # What is read beside is on a grid of its own: XNNPACK moves it to that of what picks.
    "maximum": (lambda x: picked(layers.Maximum())(conv(x)), 0.001, 0),
    "minimum": (lambda x: picked(lambda both: ops.minimum(*both))(conv(x)), 0.001, 0),
    "where": (lambda x: picked(lambda both: ops.where(both[0] > 0, *both))(conv(x)), 0.001, 0),
    "stack": (lambda x: picked(lambda both: ops.stack(both, 1)[:, 0])(conv(x)), 0.001, 0),
    "clip": (lambda x: clipped(conv(x)), 0.001, 0),
    "leaky": (lambda x: layers.LeakyReLU(0.1)(conv(x)), 0.001, 0),
    "leaky_of_layer": (lambda x: layers.Conv2D(4, 1, activation="leaky_relu")(conv(x)), 0.001, 0),
    "concatenated": (
        lambda x: layers.Concatenate()([ops.tanh(conv(x)), ops.leaky_relu(conv(x)), conv(x)]),
        0.001,
        0,
    ),
    "concatenated_reshaped": (
        lambda x: layers.Reshape((32, 16))(
            layers.Concatenate()([ops.tanh(conv(x)), ops.sigmoid(conv(x))])
        ),
        0.001,
        0,
    ),
    "group_norm": (lambda x: layers.GroupNormalization(2)(conv(x, 8, 1)), 0.001, 0),
    # One step of what comes in is many of what comes out where all values are close together.
    "layer_norm_2": (few(2), 0.01, 0.001),
    "layer_norm_4": (few(4), 0.01, 0.001),
}


def data(count, seed):
    return np.random.default_rng(seed).normal(size=(count, 8, 8, 3)).astype("float32")


@pytest.fixture(scope="module")
def compared():
    keras.utils.set_random_seed(0)
    x = keras.Input((8, 8, 3))
    model = keras.Model(x, {name: pattern[0](x) for name, pattern in PATTERNS.items()})
    qat = ek.quantize_aware(model)
    for seed in range(3):
        qat(data(64, seed), training=True)
    file = ek.convert(qat, "int8")["int8"]
    report = ek.inspect(file)
    assert [op.name for op in report.float_islands] == ["GREATER"]  # numbers are compared in float
    steps = {edge.name: edge.scale for edge in report.outputs}
    expected = qat.predict(data(64, 9), verbose=0)
    found = file.predict(data(64, 9), kernels="xnnpack")
    return {name: np.abs(found[name] - expected[name]) / steps[name] for name in PATTERNS}


@pytest.mark.parametrize("name", PATTERNS)
def test_phones_compute_what_keras_says(compared, name):
    _, off, beyond = PATTERNS[name]
    assert np.mean(compared[name] > 0.5) <= off
    assert np.mean(compared[name] > 1.01) <= beyond


def test_what_has_no_op_at_all_is_said_before_training():
    x = keras.Input((4, 4, 4, 2))
    with pytest.warns(UserWarning, match="LiteRT has no op for it: give out the scores"):
        ek.quantize_aware(keras.Model(x, ops.argmax(layers.Dense(3)(x), axis=-1)))
    with pytest.warns(UserWarning, match="a model with it cannot be converted"):
        ek.quantize_aware(keras.Model(x, layers.MaxPooling3D(2)(layers.Dense(3)(x))))

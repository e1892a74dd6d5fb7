import keras
import numpy as np
import pytest
import tensorflow as tf

import edgekit as ek
from edgekit.quantization import FakeQuantize
from edgekit.quantization.rectified import relu_of

X = np.array([-3.0, -0.001, 0.0, 0.01, 0.013, 0.5, 2.0, 5.99, 6.0, 7.5], "float32")


def grid(values, high):
    """`values` as 8-bit integers from 0 to `high` would have them, in NumPy."""
    step = np.float32(high) / 255
    return np.floor(np.clip(values, 0, high) / step + 0.5) * step


@pytest.mark.parametrize("estimator", ["recent", "minmax"])
@pytest.mark.parametrize(("relu", "ceiling"), [(tf.nn.relu, np.inf), (tf.nn.relu6, 6.0)])
def test_a_relu_before_rounding_is_clipped_as_before_and_passes_its_gradients(
    estimator, relu, ceiling
):
    layer = FakeQuantize(estimator=estimator)
    layer.build(X.shape)

    @tf.function
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = layer(relu(x), training=True)
            loss = tf.reduce_sum(y * tf.range(1.0, 11.0))
        return y, tape.gradient(loss, x)

    for scale in (1.0, 0.25):  # the range holds what the first batch had
        y, gradient = step(tf.constant(scale * X))
        high = min(ceiling, 7.5)
        np.testing.assert_allclose(y, grid(scale * X, high), atol=1e-6)
        passes = (scale * X > 0) & (scale * X < ceiling)
        np.testing.assert_array_equal(gradient, np.where(passes, np.arange(1, 11), 0))
    low, high = layer._range()
    assert (float(low), float(high)) == (0, min(ceiling, 7.5))
    operations = step.get_concrete_function(tf.TensorSpec(X.shape)).graph.get_operations()
    (rounding,) = [op for op in operations if op.type == "FakeQuantWithMinMaxVars"]
    assert "Relu" not in rounding.inputs[0].op.type


@pytest.mark.parametrize("estimator", ["recent", "minmax"])
def test_a_relu_clips_whatever_range_was_loaded(estimator):
    layer = FakeQuantize(estimator=estimator)
    layer(np.array([-2.0, 9.0], "float32"), training=True)
    step = tf.function(lambda x: layer(tf.nn.relu6(x), training=True))
    np.testing.assert_allclose(step(tf.constant(X)), grid(X, 6.0), atol=1e-6)
    assert [float(end) for end in layer._range()] == [0, 6]


def test_wide_symmetric_and_clipping_ranges_round_what_the_relu_gives():
    for settings in ({"bits": 16}, {"symmetric": True}, {"estimator": "ema"}):
        layer = FakeQuantize(**settings)
        layer.build(X.shape)
        step = tf.function(lambda x, layer=layer: layer(tf.nn.relu(x), training=True))
        y = step(tf.constant(X))
        np.testing.assert_allclose(y, np.maximum(X, 0), atol=7.5 / 127)
        assert np.all(np.asarray(y)[:3] == 0)


def test_nets_train_the_same_in_graphs_and_eagerly():
    """Eager tensors do not say what they come from: the ReLU is computed and rounded."""
    found = []
    for eagerly in (False, True):
        keras.utils.set_random_seed(0)
        layers = keras.layers
        x = inputs = keras.Input((6,))
        x = layers.ReLU(6.0)(layers.Dense(8)(x))
        x = layers.Activation("relu")(layers.Add()([x, layers.Dense(8, activation="relu")(x)]))
        model = keras.Model(inputs, layers.Dense(1)(x))
        qat = ek.quantize_aware(model)
        qat.compile(keras.optimizers.SGD(0.01), "mse", run_eagerly=eagerly)
        rng = np.random.default_rng(0)
        data = rng.standard_normal((32, 6)).astype("float32"), rng.standard_normal(32)
        qat.fit(*data, batch_size=8, epochs=2, shuffle=False, verbose=0)
        found.append(qat.get_weights())
    for ours, theirs in zip(*found, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)


def test_relu_of_knows_graphs_of_tensorflow_alone():
    assert relu_of(tf.nn.relu(tf.constant(X))) is None
    assert relu_of(keras.ops.relu(keras.Input((3,)))) is None
    seen = []
    tf.function(lambda x: seen.append(relu_of(tf.nn.relu6(x))) or x)(tf.constant(X))
    assert seen[0].ceiling == 6
    tf.function(lambda x: seen.append(relu_of(tf.nn.leaky_relu(x))) or x)(tf.constant(X))
    assert seen[1] is None

"""What rounding brings to where an operation is infinite has finite values and gradients."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

import edgekit as ek

# Of 255 steps of 0.1: the smallest are rounded to zero, where plain training never comes.
X = np.array([[0.01], [0.04], [1.0], [25.5]], "float32")
FUNCTIONS = {
    "sqrt": (lambda x: ops.sqrt(x), 0.5 * 0.05**-0.5),
    "power": (lambda x: x**0.5, 0.5 * 0.05**-0.5),
    "rsqrt": (lambda x: ops.rsqrt(x), -0.5 * 0.05**-1.5),
    "negative power": (lambda x: x**-0.5, -0.5 * 0.05**-1.5),
    "log": (lambda x: ops.log(x), 1 / 0.05),
    "division": (lambda x: 1.0 / x, -1 / 0.05**2),
    "log1p": (lambda x: ops.log1p(-ops.minimum(x, 1.0)), None),
    "arcsin": (lambda x: ops.arcsin(ops.tanh(x)), None),
    "arctanh": (lambda x: ops.arctanh(ops.tanh(-x)), None),
}


def differentiated(model, x):
    """The values in training and the gradients of their sum."""
    x = tf.convert_to_tensor(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = model(x, training=True)
    return np.asarray(y), np.asarray(tape.gradient(y, x))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_gradients_at_zero_are_those_of_half_a_step(name):
    function, slope = FUNCTIONS[name]
    x = keras.Input((1,))
    qat = ek.quantize_aware(keras.Model(x, function(x * 1.0)))  # what computes is rounded
    for _ in range(2):
        values, gradients = differentiated(qat, X)
    assert np.isfinite(values).all()
    assert np.isfinite(gradients).all()
    if slope is not None:
        np.testing.assert_allclose(gradients[:2], slope, rtol=0.01)
        _, plain = differentiated(keras.Model(x, function(x)), X[2:])
        np.testing.assert_allclose(gradients[2:], plain, rtol=0.05)


def test_values_that_are_finite_stay():
    x = keras.Input((1,))
    qat = ek.quantize_aware(keras.Model(x, ops.sqrt(x * 1.0)))
    values, _ = differentiated(qat, X)
    np.testing.assert_allclose(values[:2], 0.0, atol=1e-3)
    np.testing.assert_allclose(qat(X)[:2], 0.0)


def test_distances_train_and_become_files():
    """The square of a distance is below half a step as soon as two points are near."""
    rng = np.random.default_rng(0)
    x, other = keras.Input((4,), name="a"), keras.Input((4,), name="b")
    embed = layers.Dense(3)
    square = ops.sum((embed(x) - embed(other)) ** 2, axis=-1, keepdims=True)
    qat = ek.quantize_aware(keras.Model([x, other], ops.rsqrt(square + 1e-3)))
    a, b = (rng.normal(size=(64, 4)).astype("float32") for _ in range(2))
    b[::8] = a[::8] + 1e-3
    qat.compile(keras.optimizers.SGD(1e-5), "mse")
    losses = qat.fit([a, b], np.ones((64, 1)), batch_size=16, epochs=2, verbose=0)
    assert np.isfinite(losses.history["loss"]).all()
    assert all(np.isfinite(w).all() for w in qat.get_weights())
    assert ek.verify(qat, ek.convert(qat, "int8")["int8"], [a, b]).exact

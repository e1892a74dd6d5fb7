"""What users build that the layer library's own examples do not show."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from edgekit.core.selection import all_layers
from edgekit.quantization.quantized_rnn import QuantizedRNN


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def same_after_strip(model, x, atol=1e-6):
    qat = ek.quantize_aware(model)
    plain = ek.strip(qat)
    np.testing.assert_allclose(plain(x), model(x), atol=atol)
    assert len(plain.weights) == len(model.weights)
    return qat


def test_a_layer_shared_between_a_model_and_one_inside_it():
    dense = layers.Dense(4, activation="relu")
    inner = keras.Sequential([keras.Input((4,)), dense])
    x = keras.Input((4,))
    qat = same_after_strip(keras.Model(x, dense(inner(x))), noise(8, 4))
    wrappers = [w for w in all_layers(qat) if w.name == f"quant_{dense.name}"]
    assert len(wrappers) == 1


def test_ids_that_mask_what_follows():
    ids = keras.Input((5,), dtype="int32")
    embedded = layers.Embedding(8, 4, mask_zero=True)(ids)
    x = np.random.default_rng(0).integers(0, 4, (16, 5))
    attention = layers.MultiHeadAttention(2, 2, name="attention")(embedded, embedded)
    with pytest.warns(UserWarning, match="attention: a mask reaches it"):
        qat = ek.quantize_aware(keras.Model(ids, attention))
    model = keras.Model(ids, attention)
    np.testing.assert_allclose(qat(x), model(x), atol=0.01)
    recurrent = keras.Model(ids, layers.LSTM(3)(embedded))
    qat = ek.quantize_aware(recurrent)
    assert any(isinstance(layer, QuantizedRNN) for layer in qat.layers)
    np.testing.assert_allclose(qat(x), recurrent(x), atol=0.02)
    pooled = keras.Model(ids, layers.GlobalAveragePooling1D(name="pool")(embedded))
    with pytest.warns(UserWarning, match="pool: a mask reaches it"):
        ek.quantize_aware(pooled)


class Counts(layers.Layer):
    """Keeps a state and adds a loss."""

    def build(self, input_shape):
        self.calls = self.add_weight(shape=(), initializer="zeros", trainable=False, name="calls")

    def call(self, inputs):
        self.add_loss(ops.mean(inputs**2))
        self.calls.assign(self.calls + 1.0)
        return inputs


def test_state_and_losses_of_a_layer_are_kept():
    x = keras.Input((4,))
    qat = ek.quantize_aware(keras.Model(x, Counts(name="counts")(layers.Dense(4)(x))))
    for _ in range(2):
        qat(noise(8, 4), training=True)
    assert float(qat.losses[0]) > 0.1
    assert float(ek.strip(qat).get_layer("counts").calls) >= 2


def test_batchnorm_over_another_axis_follows_its_statistics():
    x = keras.Input((3, 6))
    qat = ek.quantize_aware(keras.Model(x, layers.BatchNormalization(axis=1, name="bn")(x)))
    qat(noise(16, 3, 6) + 5, training=True)
    assert np.asarray(ek.strip(qat).get_layer("bn").moving_mean).min() > 0.01


class OnlyInTraining(layers.Layer):
    def call(self, inputs, training=None):
        return inputs * 0.0 if training else inputs


def test_a_layer_that_computes_something_else_in_training():
    x = keras.Input((4,))
    model = keras.Model(x, OnlyInTraining()(layers.Dense(3)(x)))
    with pytest.warns(UserWarning, match="it computes something else in training"):
        qat = ek.quantize_aware(model)
    assert np.abs(np.asarray(qat(noise(8, 4), training=True))).max() == 0
    assert np.abs(np.asarray(qat(noise(8, 4)))).max() > 0


def test_functions_and_classes_that_keras_cannot_find():
    def twice_tanh(x):
        return ops.tanh(x) * 2.0

    class Unregistered(layers.Layer):
        def build(self, input_shape):
            self.w = self.add_weight(shape=(input_shape[-1], 3), name="w")

        def call(self, inputs):
            return ops.matmul(inputs, self.w)

    x = keras.Input((4,))
    y = layers.Dense(3, activation=twice_tanh)(Unregistered()(x))
    y = layers.Lambda(lambda z: z * 2.0)(layers.Activation(lambda z: ops.relu(z) * 0.5)(y))
    qat = same_after_strip(keras.Model(x, y), noise(8, 4))
    np.testing.assert_allclose(qat(noise(8, 4)), keras.Model(x, y)(noise(8, 4)), atol=0.1)


def test_losses_by_name_of_output():
    x = keras.Input((4,))
    h = layers.Dense(4)(x)
    outputs = [layers.Dense(2, name="a")(h), layers.Softmax(name="b")(layers.Dense(3)(h))]
    qat = ek.quantize_aware(keras.Model(x, outputs))
    qat.compile("sgd", loss={"a": "mse", "b": "mse"})
    qat.fit(noise(8, 4), {"a": np.zeros((8, 2)), "b": np.zeros((8, 3))}, verbose=0)


class TwoParts(layers.Layer):
    def __init__(self, **options):
        super().__init__(**options)
        self.first, self.second = layers.Dense(3), layers.Dense(3)

    def call(self, inputs):
        return self.second(self.first(inputs))


def test_a_frozen_part_of_a_layer_stays_frozen():
    x = keras.Input((4,))
    layer = TwoParts(name="parts")
    model = keras.Model(x, layer(x))
    layer.first.trainable = False
    qat = ek.quantize_aware(model)
    assert len(qat.trainable_variables) == len(model.trainable_variables) == 2
    assert len(ek.strip(qat).trainable_variables) == 2


def test_stacked_cells_and_recurrent_dropout_run_as_they_are():
    x = keras.Input((5, 4))
    stacked = layers.RNN(layers.StackedRNNCells([layers.LSTMCell(3), layers.GRUCell(2)]))
    for layer in (stacked, layers.LSTM(3, recurrent_dropout=0.5)):
        model = keras.Model(x, layer(x))
        with pytest.warns(UserWarning, match="cannot be followed"):
            qat = ek.quantize_aware(model)
        np.testing.assert_allclose(qat(noise(4, 5, 4)), model(noise(4, 5, 4)), atol=0.05)


@pytest.mark.parametrize("scheme", ["int8", "int4"])
def test_recurrent_ranges_are_those_of_whole_sequences(scheme):
    """A range followed step by step would be that of the first, where states are zero."""
    x = keras.Input((12, 4))
    model = keras.Model(x, layers.LSTM(6)(x))
    data = noise(128, 12, 4)
    target = model.predict(data, verbose=0)
    qat = ek.quantize_aware(model, scheme)
    qat.compile(keras.optimizers.SGD(1e-4), "mse")
    qat.fit(data, target, epochs=2, verbose=0)
    limit = 0.05 if scheme == "int8" else 0.15
    assert np.abs(qat.predict(data, verbose=0) - target).max() < limit


def test_selections_that_leave_nothing():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, name="head")(layers.Dense(3, name="body")(x)))
    with pytest.raises(ValueError, match="have no layer in common"):
        ek.quantize_aware(model, {"body": "int4"}, layers="head")
    with pytest.raises(ValueError, match="must have regexes as keys. Received: 1"):
        ek.quantize_aware(model, {1: "int8"})

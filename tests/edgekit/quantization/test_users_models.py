"""What users build that the layer library's own examples do not show."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from converters.signal_to_noise import signal_to_noise
from edgekit.core.selection import all_layers
from edgekit.quantization.quantized_rnn import QuantizedRNN


def noise(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def same_after_strip(model, x, atol=1e-6):
    qat = ek.quantize_aware(model)
    plain = ek.strip(qat)
    outputs = (keras.tree.flatten(each(x)) for each in (plain, model))
    for found, expected in zip(*outputs, strict=True):
        np.testing.assert_allclose(found, expected, atol=atol)
    assert len(plain.weights) == len(model.weights)
    return qat


def test_a_layer_shared_between_a_model_and_one_inside_it():
    dense = layers.Dense(4, activation="relu")
    inner = keras.Sequential([keras.Input((4,)), dense])
    x = keras.Input((4,))
    qat = same_after_strip(keras.Model(x, dense(inner(x))), noise(8, 4))
    wrappers = [w for w in all_layers(qat) if w.name == f"quant_{dense.name}"]
    assert len(wrappers) == 1


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


def test_a_wrapped_layer_keeps_its_activation_and_regularizer():
    """What a wrapper takes from a layer inside another one, it gives back for files and `strip`."""
    x = keras.Input((3, 4))
    dense = layers.Dense(5, activation="relu", activity_regularizer="l2")
    qat = same_after_strip(keras.Model(x, layers.TimeDistributed(dense)(x)), noise(8, 3, 4))
    again = type(qat).from_config(qat.get_config())
    again.set_weights(qat.get_weights())
    np.testing.assert_array_equal(again(noise(8, 3, 4)), qat(noise(8, 3, 4)))
    plain = ek.strip(again).layers[-1].layer
    assert plain.activation is keras.activations.relu
    assert plain.activity_regularizer is not None


def test_losses_by_name_of_output():
    x = keras.Input((4,))
    h = layers.Dense(4)(x)
    outputs = [layers.Dense(2, name="a")(h), layers.Softmax(name="b")(layers.Dense(3)(h))]
    qat = ek.quantize_aware(keras.Model(x, outputs))
    qat.compile("sgd", loss={"a": "mse", "b": "mse"})
    qat.fit(noise(8, 4), {"a": np.zeros((8, 2)), "b": np.zeros((8, 3))}, verbose=0)


OPERATIONS = {
    "add": lambda x: x + x,
    "multiply": lambda x: x * 2.0,
    "clip": lambda x: ops.clip(x, -1.0, 1.0),
    "stack": lambda x: ops.stack([x, x + 1.0], axis=1),
    "concatenate": lambda x: ops.concatenate([x, ops.tanh(x)], axis=-1),
    "where": lambda x: ops.where(x > 0, x, x * 0.5),
    "softmax": ops.softmax,
    "silu": ops.silu,
    "mean": lambda x: ops.mean(x, axis=-1, keepdims=True),
    "matmul": lambda x: ops.matmul(ops.reshape(x, (-1, 2, 2)), ops.reshape(x, (-1, 2, 2))),
    "split": lambda x: ops.split(x, 2, axis=-1)[1],
    "reshape": lambda x: ops.reshape(x, (-1, 2, 2)),
    "argmax": lambda x: ops.argmax(x, axis=-1),
}


def test_outputs_that_are_operations_keep_their_names(tmp_path):

    def outputs(x):
        found = [operation(layers.Dense(4)(x)) for operation in OPERATIONS.values()]
        pairs = ops.reshape(layers.Dense(4)(x), (-1, 2, 2))
        return [*found, layers.GlobalAveragePooling1D()(pairs)]

    x, y = keras.Input((4,)), keras.Input((4,))
    inner = keras.Model(y, outputs(y))
    model = keras.Model(x, [*outputs(x), *(t + t for t in inner(x))])
    qat = same_after_strip(model, noise(8, 4))
    qat(noise(8, 4), training=True)
    assert qat.output_names == ek.strip(qat).output_names == model.output_names
    qat.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.output_names == model.output_names
    for found, expected in zip(loaded(noise(8, 4)), qat(noise(8, 4)), strict=True):
        np.testing.assert_array_equal(found, expected)
    loss = dict.fromkeys(model.output_names[:2], "mse")
    qat.compile("sgd", loss={**dict.fromkeys(model.output_names), **loss})
    targets = [np.zeros(t.shape) for t in qat(noise(8, 4))]
    qat.fit(noise(8, 4), dict(zip(model.output_names, targets, strict=True)), verbose=0)


def test_names_that_are_taken():
    """By layers called as a wrapper or range would be, and by operations of a loaded model."""
    x = keras.Input((4,))
    y = layers.Dense(4, name="a")(x)
    y = layers.Dense(4, name="quant_a")(layers.Dense(4, name="a_range")(y))
    y = layers.Dense(4, name="multiply")(ops.silu(y) * 0.5)
    model = keras.Model(x, ops.silu(y))
    qat = same_after_strip(model, noise(8, 4))
    names = [operation.name for operation in qat.operations]
    assert len(set(names)) == len(names)


class Heads(layers.Layer):
    def build(self, input_shape):
        self.scales = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        x = ops.reshape(x * self.scales, (ops.shape(x)[0], 4, 2, 3))
        return ops.reshape(x, (ops.shape(x)[0], -1, 6))


class ClassToken(layers.Layer):
    def __init__(self, spread, **options):
        super().__init__(**options)
        self.spread = spread

    def get_config(self):
        return {**super().get_config(), "spread": self.spread}

    def build(self, input_shape):
        self.token = self.add_weight(shape=(1, 1, input_shape[-1]), initializer="normal")

    def call(self, x):
        return ops.concatenate([self.spread(self.token, ops.shape(x)[0]), x], axis=1)


class Windows(layers.Layer):
    def build(self, input_shape):
        self.offsets = self.add_weight(shape=(1, 2, input_shape[-1]), initializer="normal")

    def call(self, x):
        batch, length, width = ops.shape(x)
        windows = ops.reshape(x, (batch * length // 2, 2, width))
        windows = windows + ops.broadcast_to(self.offsets, (batch * (length // 2), 2, width))
        windows = ops.take(windows, ops.arange(batch * (length // 2)), axis=0)
        return ops.reshape(windows, (batch, length, width))


SPREAD = {
    "broadcast_to": lambda token, batch: ops.broadcast_to(token, (batch, 1, 6)),
    "repeat": lambda token, batch: ops.repeat(token, batch, axis=0),
    "tile": lambda token, batch: ops.tile(token, (batch, 1, 1)),
    "zeros": lambda token, batch: token + ops.zeros((batch, 1, 6)),
}


def test_layers_that_ask_for_the_size_of_the_batch(recwarn):
    x = keras.Input((4, 6))
    y = Windows()(Heads()(x))
    for spread in SPREAD.values():
        y = ClassToken(spread)(y)
    model = keras.Model(x, layers.Lambda(lambda z: ops.reshape(z, (ops.shape(z)[0], 48)))(y))
    qat = same_after_strip(model, noise(8, 4, 6))
    assert not [w for w in recwarn if "leaves in float" in str(w.message)]
    for batch in (1, 3, 8):
        data = noise(batch, 4, 6)
        np.testing.assert_allclose(qat(data), model(data), atol=0.1)
    qat.compile("sgd", "mse")
    qat.fit(noise(8, 4, 6), noise(8, 48), batch_size=5, verbose=0)


def test_a_layer_that_counts_with_the_size_of_the_batch():
    class Mean(layers.Layer):
        def call(self, x):
            return x * (1 / ops.cast(ops.shape(x)[0], "float32"))

    x = keras.Input((4,))
    model = keras.Model(x, Mean(name="mean")(x))
    with pytest.warns(UserWarning, match="mean: Mean: .* depends on the size of the batch"):
        qat = ek.quantize_aware(model)
    np.testing.assert_allclose(qat(noise(8, 4)), model(noise(8, 4)), atol=0.01)


@keras.saving.register_keras_serializable(package="test_users_models")
class Encoder(layers.Layer):
    """Reads the tables of its sublayers, and has a model inside."""

    def build(self, input_shape):
        self.tokens, self.positions = layers.Embedding(20, 6), layers.Embedding(5, 6)
        self.tokens.build(input_shape)
        self.positions.build((5,))
        self.feed_forward = keras.Sequential([layers.Dense(8, activation="relu"), layers.Dense(6)])
        self.feed_forward.build((*input_shape, 6))

    def call(self, ids):
        x = self.tokens(ids) + self.positions(ops.arange(ops.shape(ids)[1]))
        x = x + self.feed_forward(x)
        return ops.matmul(x, ops.transpose(self.tokens.embeddings))


def test_what_a_layer_reads_of_its_sublayers_trains_and_is_stored(tmp_path):
    ids = keras.Input((5,), dtype="int32")
    model = keras.Model(ids, Encoder()(ids))
    x = np.random.default_rng(0).integers(0, 20, (32, 5))
    qat = same_after_strip(model, x)
    assert signal_to_noise(model(x), qat(x)) > 25
    qat.compile(keras.optimizers.SGD(0.5), "mse")
    before = [np.array(w) for w in qat.trainable_weights]
    qat.fit(x, np.ones((32, 5, 20)), epochs=2, verbose=0)
    assert all(np.any(w != b) for w, b in zip(qat.trainable_weights, before, strict=True))
    assert signal_to_noise(ek.strip(qat)(x), qat(x)) > 25
    qat.save(tmp_path / "qat.keras")
    loaded = keras.saving.load_model(tmp_path / "qat.keras")
    np.testing.assert_array_equal(loaded(x), qat(x))
    frames = keras.Input((3, 5), dtype="int32")
    stepwise = keras.Model(frames, layers.TimeDistributed(ek.strip(loaded))(frames))
    qat = ek.quantize_aware(stepwise)
    qat(x[:30].reshape(10, 3, 5), training=True)
    file = ek.convert(qat, "int8")["int8"]
    expected = qat.predict(x[:30].reshape(10, 3, 5), verbose=0)
    steps = (file.predict(x[:30].reshape(10, 3, 5)) - expected) / ek.inspect(file).outputs[0].scale
    assert np.mean(np.abs(steps) > 1.01) < 0.001
    assert ek.inspect(file).float_islands == []


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


def test_recurrent_dropout_and_states_that_are_kept_run_as_they_are():
    x = keras.Input(batch_shape=(4, 5, 4))
    whys = {
        layers.LSTM(3, recurrent_dropout=0.5): "cannot be followed",
        layers.LSTM(3, stateful=True): r"from call to call \(stateful=True\)",
    }
    for layer, why in whys.items():
        model = keras.Model(x, layer(x))
        with pytest.warns(UserWarning, match=why):
            qat = ek.quantize_aware(model)
        np.testing.assert_allclose(qat(noise(4, 5, 4)), model(noise(4, 5, 4)), atol=0.05)


def test_normalizations_over_one_value_and_over_several_axes():
    x = keras.Input((5, 4))
    one = layers.LayerNormalization(beta_initializer=keras.initializers.Constant(0.7))
    outputs = [one(layers.Dense(1)(x)), layers.UnitNormalization(axis=(1, 2))(x)]
    qat = same_after_strip(keras.Model(x, outputs), noise(8, 5, 4))
    qat(noise(8, 5, 4), training=True)
    beta, unit = qat(noise(8, 5, 4))
    np.testing.assert_allclose(beta, 0.7, atol=0.003)
    np.testing.assert_allclose(np.sum(np.square(unit), (1, 2)), 1, atol=0.03)


@keras.saving.register_keras_serializable("users_models")
class PlainCell(layers.Layer):
    """A cell with no more than Keras asks for: no argument `training`, no first state."""

    state_size = 3

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 3), name="kernel")
        self.recurrent = self.add_weight(shape=(3, 3), name="recurrent")

    def call(self, inputs, states):
        output = ops.matmul(inputs, self.kernel) + ops.matmul(states[0], self.recurrent)
        return output, [output]


def test_a_loop_over_a_cell_with_no_more_than_keras_asks_for():
    x, data = keras.Input((5, 4)), noise(32, 5, 4)
    model = keras.Model(x, layers.RNN(PlainCell())(x))
    qat = same_after_strip(model, data)
    qat(data, training=True)
    assert signal_to_noise(model.predict(data, verbose=0), qat.predict(data, verbose=0)) > 30
    assert ek.verify(qat, ek.convert(qat, "int8")["int8"], data).exact


def test_indices_that_are_given_as_floats():
    """Rounded to 256 values, of a thousand rows most would be taken for others."""
    x = np.random.default_rng(0).integers(0, 1000, (64, 8)).astype("float32")
    ids = keras.Input((8,))
    table = layers.Embedding(1000, 6, "normal", mask_zero=True)
    nested = keras.Sequential([keras.Input((8,)), layers.Embedding(1000, 6, "normal")])
    both = layers.Concatenate()([layers.GlobalAveragePooling1D()(table(ids)), nested(ids)[:, 0]])
    model = keras.Model(ids, layers.Dense(3)(both))
    expected = model.predict(x, verbose=0)
    file = ek.convert(model, "int8", calibration=x)["int8"]
    assert signal_to_noise(expected, file.predict(x)) > 30
    qat = ek.quantize_aware(model)
    qat(x, training=True)
    assert signal_to_noise(expected, qat.predict(x, verbose=0)) > 30
    aware = ek.convert(qat, "int8")["int8"]
    assert signal_to_noise(qat.predict(x, verbose=0), aware.predict(x)) > 40


def test_one_hot_is_integer(recwarn):
    ids, x = keras.Input((6,), dtype="int32"), keras.Input((6,))
    hot = layers.Flatten()(ops.one_hot(ids, 5))
    model = keras.Model([ids, x], layers.Dense(3)(layers.Concatenate()([x, hot])))
    rng = np.random.default_rng(0)
    samples = [rng.integers(0, 5, (32, 6)).astype("int32"), rng.normal(size=(32, 6))]
    qat = ek.quantize_aware(model)
    qat([samples[0], samples[1].astype("float32")], training=True)
    expected = model.predict(samples, verbose=0)
    for each, calibration in ((model, samples), (qat, None)):
        file = ek.convert(each, "int8", calibration=calibration)["int8"]
        assert [op.dtype for op in ek.inspect(file).ops if op.name == "ONE_HOT"] == ["int8"]
        assert signal_to_noise(expected, file.predict(samples)) > 30
    assert not [w for w in recwarn if "float" in str(w.message)]


class Upsamples(layers.Layer):
    """Convolves transposed by keras.ops, and asks for the size of the batch."""

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(3, 5, input_shape[-1]))

    def call(self, inputs):
        inputs = ops.reshape(inputs, (ops.shape(inputs)[0], 6, 2))
        return ops.conv_transpose(inputs, self.kernel, 2, padding="same", output_padding=1)


@pytest.mark.parametrize(
    ("layer", "shape"), [(Upsamples(), (6, 2)), (layers.Conv3DTranspose(4, 2, 2), (2, 4, 4, 2))]
)
@pytest.mark.filterwarnings("ignore:quantize_aware leaves in float")
def test_transposed_convolutions_inside_layers(layer, shape):
    x, i = noise(8, *shape), keras.Input(shape)
    model = keras.Model(i, layer(i))
    qat = ek.quantize_aware(model)
    qat(x, training=True)
    assert signal_to_noise(model(x).numpy(), qat(x).numpy()) > 30


def test_a_loop_over_several_cells():
    x = keras.Input((5, 4))
    cells = [layers.LSTMCell(3), layers.GRUCell(2)]
    model = keras.Model(x, layers.RNN(cells, return_sequences=True)(x))
    qat = same_after_strip(model, noise(4, 5, 4))
    assert any(isinstance(layer, QuantizedRNN) for layer in qat.layers)
    qat(noise(4, 5, 4), training=True)
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

"""Masks in quantization-aware models: Keras's own, given ones, and those made with operations."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from edgekit.core.selection import all_layers
from edgekit.quantization.quantized_rnn import QuantizedRNN

STEPS, WIDTH = 6, 8
RNG = np.random.default_rng(0)


@keras.saving.register_keras_serializable(package="test_masks")
class Block(layers.Layer):
    """It takes no mask; the attention inside finds it beside the tensor."""

    def __init__(self, **options):
        super().__init__(**options)
        self.supports_masking = True
        self.attention = layers.MultiHeadAttention(2, 4)

    def build(self, input_shape):
        self.attention.build(input_shape, input_shape)

    def call(self, inputs):
        return inputs + self.attention(inputs, inputs)


def embedded(ids):
    start = keras.initializers.RandomNormal(stddev=1.0, seed=0)
    return layers.Embedding(9, WIDTH, mask_zero=True, embeddings_initializer=start)(ids)


def by_hand(x, mask):
    scores = ops.matmul(x, ops.transpose(x, (0, 2, 1))) * 0.3 + ops.expand_dims(mask, 1)
    return ops.matmul(ops.softmax(scores), x)


def model_of_all():
    ids = keras.Input((STEPS,), dtype="int32", name="ids")
    x = keras.Input((STEPS, WIDTH), name="x")
    shown = keras.Input((STEPS, STEPS), dtype="bool", name="shown")
    real = keras.Input((STEPS,), name="real")
    added = keras.Input((STEPS,), name="added")
    e, own = embedded(ids), embedded(ids)  # MultiHeadAttention takes the mask from its tensor
    outputs = {
        "padded": layers.MultiHeadAttention(2, 4)(own, own),
        "causal": layers.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True),
        "dropout": layers.MultiHeadAttention(2, 4, dropout=0.1)(x, x, use_causal_mask=True),
        "given": layers.MultiHeadAttention(2, 4)(x, x, attention_mask=shown),
        "grouped": layers.GroupQueryAttention(4, 4, 2)(e, e, use_causal_mask=True),
        "dot": layers.Attention()([e, e], use_causal_mask=True),
        "additive": layers.AdditiveAttention()([e, e]),
        "pooled": layers.GlobalAveragePooling1D()(e),
        "block": layers.GlobalAveragePooling1D()(Block()(embedded(ids))),
        "factor": by_hand(x, (1.0 - real) * -1e9),
        "summand": by_hand(x, added),
        "softmax": layers.Softmax()(layers.Dense(STEPS)(x), shown),
    }
    outputs = {key: layers.Identity(name=f"{key}_out")(value) for key, value in outputs.items()}
    return keras.Model([ids, x, shown, real, added], outputs)


def data(samples, seed=0):
    rng = np.random.default_rng(seed)
    real = np.arange(STEPS) < rng.integers(1, STEPS + 1, (samples, 1))
    return {
        "ids": np.where(real, rng.integers(1, 9, (samples, STEPS)), 0).astype("int32"),
        "x": rng.normal(size=(samples, STEPS, WIDTH)).astype("float32"),
        "shown": (rng.random((samples, STEPS, STEPS)) < 0.6) | np.eye(STEPS, dtype=bool),
        "real": real.astype("float32"),
        "added": np.where(real, 0, -1e9).astype("float32"),
    }


def decibel(right, found):
    right = np.asarray(right, "float64")
    return 10 * np.log10(np.mean(right**2) / np.mean((np.asarray(found) - right) ** 2))


@pytest.fixture(scope="module")
def masked():
    keras.utils.set_random_seed(0)
    model = model_of_all()
    qat = ek.quantize_aware(model)
    for seed in range(3):
        qat(data(64, seed), training=True)
    return model, qat


@pytest.fixture(scope="module")
def file(masked):
    return ek.convert(masked[1], ["int8"])["int8"]


def test_everything_is_integer_as_keras_says(masked, file):
    model, qat = masked
    report = ek.inspect(file)
    assert report.float_islands == []
    steps = {edge.name: edge.scale for edge in report.outputs}
    x = data(100, 9)
    with pytest.warns(UserWarning, match="'added': .* are clipped"):
        found = file.predict(x, kernels="xnnpack")
    plain, expected = model(x), qat(x)
    for name in plain:
        difference = np.abs(np.asarray(expected[name]) - found[name]) / steps[name]
        assert np.mean(difference > 1.01) < 0.01, name
        assert decibel(plain[name], found[name]) > 25, name


def test_what_is_hidden_changes_nothing(masked, file):
    _, qat = masked
    before, after = data(50, 4), data(50, 4)
    for each in (before, after):
        each["shown"][:, :-1, -1] = False
    after["x"][:, -1] = RNG.normal(size=(50, WIDTH))
    far = before["x"][:, :-1] * 0  # of the positions before the last
    for model in (lambda x: qat(x), lambda x: file.predict(x, kernels="xnnpack")):
        first, second = model(before), model(after)
        for name in ("causal", "dropout", "given"):
            difference = np.asarray(first[name])[:, :-1] - np.asarray(second[name])[:, :-1]
            np.testing.assert_array_equal(difference, far)
            assert np.any(np.asarray(first[name])[:, -1] != np.asarray(second[name])[:, -1])
    real = before["real"] > 0
    after = {**before, "x": np.where(real[..., None], before["x"], after["x"][:, ::-1])}
    first, second = qat(before), qat(after)
    for name in ("factor", "summand"):
        np.testing.assert_array_equal(np.asarray(first[name])[real], np.asarray(second[name])[real])


def test_the_average_of_what_is_shown(masked):
    model, _ = masked
    x = data(20, 5)
    table = next(v for v in model.weights if v.path.endswith("embeddings")).numpy()
    ids = x["ids"]
    shown = ids[..., None] > 0
    mean = (table[ids] * shown).sum(1) / shown.sum(1)
    np.testing.assert_allclose(masked[1](x)["pooled"], mean, atol=0.03)


def test_it_trains_and_goes_through_a_file_and_back(tmp_path):
    ids = keras.Input((STEPS,), dtype="int32")
    y = layers.MultiHeadAttention(2, 4, dropout=0.1)(*[embedded(ids)] * 2, use_causal_mask=True)
    model = keras.Model(ids, layers.GlobalAveragePooling1D()(y))
    qat, x = ek.quantize_aware(model), data(16, 6)["ids"]
    np.testing.assert_allclose(ek.strip(qat)(x), model(x), atol=1e-6)
    qat.compile("sgd", loss="mse")
    qat.fit(x, np.ones((16, WIDTH)), verbose=0)
    for before, after in zip(model.trainable_variables, qat.trainable_variables, strict=True):
        name = before.path  # a bias of all keys alike changes no softmax
        assert "key/bias" in name or np.any(before.numpy() != after.numpy()), name
    qat.save(tmp_path / "model.keras")
    loaded = ek.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(loaded(x), qat(x))


def test_a_mask_that_attention_takes_away_is_gone_for_what_follows():
    """As in Keras: at its first reader, MultiHeadAttention, the mask ends."""
    ids = keras.Input((STEPS,), dtype="int32")
    e = embedded(ids)
    attended = layers.MultiHeadAttention(2, 4)(e, e)
    y = layers.GlobalAveragePooling1D()(layers.Concatenate()([e, ops.relu(attended)]))
    model, x = keras.Model(ids, y), data(16)["ids"]
    np.testing.assert_allclose(ek.quantize_aware(model)(x), model(x), atol=0.03)


def test_a_layer_that_takes_no_mask_ends_it():
    ids = keras.Input((STEPS,), dtype="int32")
    y = layers.GlobalAveragePooling1D()(layers.Conv1D(3, 2)(embedded(ids)))
    model = keras.Model(ids, y)
    x = data(16)["ids"]
    np.testing.assert_allclose(ek.quantize_aware(model)(x), model(x), atol=0.03)


def test_masks_reach_into_models_in_a_model_and_come_out_of_them():
    ids, inner_ids = (keras.Input((STEPS,), dtype="int32") for _ in range(2))
    x = keras.Input((STEPS, WIDTH))
    encoder = keras.Model(x, layers.MultiHeadAttention(2, 4)(x, x))
    table = keras.Model(inner_ids, embedded(inner_ids))
    model = keras.Model(ids, layers.GlobalAveragePooling1D()(encoder(table(ids))))
    x = data(16)["ids"]
    qat = ek.quantize_aware(model)
    np.testing.assert_allclose(qat(x), model(x), atol=0.03)
    np.testing.assert_allclose(ek.strip(qat)(x), model(x), atol=1e-5)


def recurrent_model():
    ids = keras.Input((STEPS,), dtype="int32", name="ids")
    x = keras.Input((STEPS, WIDTH), name="x")
    e = embedded(ids)
    _, h, c = layers.LSTM(5, return_state=True)(x)
    both = layers.Bidirectional(layers.GRU(4, return_sequences=True))(e)
    outputs = {
        "both": both,
        "states": layers.Bidirectional(layers.LSTM(4, return_state=True))(e)[1],
        "decoder": layers.LSTM(5, return_sequences=True)(x, initial_state=[h, c]),
        "given": layers.SimpleRNN(4)(x, mask=ops.not_equal(ids, 0)),
    }
    outputs = {key: layers.Identity(name=f"{key}_out")(value) for key, value in outputs.items()}
    return keras.Model([ids, x], outputs)


@pytest.fixture(scope="module")
def recurrent():
    keras.utils.set_random_seed(1)
    model = recurrent_model()
    qat = ek.quantize_aware(model)
    for seed in range(2):
        qat({name: data(64, seed)[name] for name in ("ids", "x")}, training=True)
    return model, qat


def test_recurrent_layers_with_masks_and_first_states(recurrent):
    model, qat = recurrent
    assert sum(isinstance(layer, QuantizedRNN) for layer in all_layers(qat)) == 7
    x = {name: data(40, 7)[name] for name in ("ids", "x")}
    plain, found, stripped = model(x), qat(x), ek.strip(qat)(x)
    for name in plain:
        assert decibel(plain[name], found[name]) > 15, name  # cells are of 8 bits
        np.testing.assert_allclose(stripped[name], plain[name], atol=1e-5)


@pytest.mark.slow
def test_files_of_recurrent_layers_with_masks_and_first_states(recurrent):
    """Outputs of a loop backwards are hidden where its own mask says."""
    model, qat = recurrent
    x = {name: data(40, 8)[name] for name in ("ids", "x")}
    plain, expected = model(x), qat(x)
    aware = ek.convert(qat, ["int8"])["int8"]
    calibration = {name: data(64, 0)[name] for name in ("ids", "x")}
    afterwards = ek.convert(model, ["int8"], calibration=calibration)["int8"]
    for file in (aware, afterwards):
        assert ek.inspect(file).float_islands == []
    assert {edge.dtype for edge in ek.inspect(aware).inputs} == {"int32", "int8"}
    layers_inside = ek.verify(qat, aware, x, kernels="xnnpack").layers
    assert max(layer.share_beyond_one for layer in layers_inside) < 0.05
    steps = {edge.name: edge.scale for edge in ek.inspect(aware).outputs}
    found, quantized = aware.predict(x, kernels="xnnpack"), afterwards.predict(x)
    for name in plain:
        difference = np.abs(np.asarray(expected[name]) - found[name]) / steps[name]
        assert np.mean(difference > 1.01) < 0.01, name
        assert decibel(plain[name], quantized[name]) > 15, name

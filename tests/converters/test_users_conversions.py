"""What users' models and data do to a conversion, beyond the ordinary."""

import pickle

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from converters import ConversionError
from converters.errors import lacking_op


class Counter(layers.Layer):
    """Multiplies by how often it was called."""

    def build(self, shape):
        self.n = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.n.assign_add(1.0)
        return x * ops.convert_to_tensor(self.n)


def test_a_state_stays_and_is_said():
    model = keras.Sequential([keras.Input((6,)), Counter(), layers.Dense(2)])
    model.layers[0].n.assign(5.0)
    ek.convert(model)
    assert float(model.layers[0].n) == 5.0
    import tensorflow as tf

    random = keras.Sequential(
        [keras.Input((6,)), layers.Lambda(lambda x: x + tf.random.normal(tf.shape(x)))]
    )
    with pytest.warns(UserWarning, match="keeps a state, or draws random numbers"):
        ek.convert(random)


def test_variables_that_are_not_keras():
    import tensorflow as tf

    class Scale(layers.Layer):
        def build(self, shape):
            self.table = tf.Variable(tf.ones([3]))

        def call(self, x):
            return x * self.table[0]

    with pytest.raises(ConversionError, match="make it with `self.add_weight`"):
        ek.convert(keras.Sequential([keras.Input((3,)), Scale()]))


def test_indices_outside_are_the_samples_fault():
    model = keras.Sequential(
        [keras.Input((4,), dtype="int32"), layers.Embedding(20, 8), layers.Flatten()]
    )
    with pytest.raises(ValueError, match="fails on `calibration`: "):
        ek.convert(model, "int8", calibration=np.full((8, 4), 36, "int32"))
    with pytest.raises(ValueError, match=r"must give arrays for 'input_layer.*' \(samples, 4\)"):
        ek.convert(model, "int8", calibration=(None for _ in range(3)))


def test_estimators_for_no_tensor(cnn, data):
    with pytest.raises(ConversionError, match="'nomatch', which matches no tensor"):
        ek.convert(cnn, "int8", calibration=data[0], estimator={"nomatch": "mse"})
    with pytest.raises(ValueError, match="not a regular expression"):
        ek.convert(cnn, "int8", calibration=data[0], estimator={"(": "mse"})


def test_samples_that_say_nothing_are_warned_of(cnn):
    with pytest.warns(UserWarning, match="gives input 'image' nothing but 0"):
        ek.convert(cnn, "int8", calibration=np.zeros((4, 8, 8, 3)))


def test_files_can_be_pickled(files, data):
    x, _ = data
    expected = files["int8"].predict(x[:4])
    again = pickle.loads(pickle.dumps(files["int8"]))
    np.testing.assert_array_equal(again.predict(x[:4]), expected)


def test_microcontrollers_and_scales_per_channel(tmp_path):
    model = keras.Sequential([keras.Input((128,)), layers.Dense(128), layers.Dense(16)])
    found = ek.convert(model, ["weight_only", "weight_only_int4"])
    reasons = {
        name: {op.reason for op in ek.inspect(file).unsupported("tflite-micro")}
        for name, file in found.items()
    }
    assert reasons["weight_only"] == {"weights with a scale per channel"}
    assert "int4 weights" in reasons["weight_only_int4"]
    with pytest.raises(ValueError, match="weights with a scale per channel"):
        ek.package(found["weight_only"], "mcu", tmp_path)
    assert not list(tmp_path.iterdir())


def test_an_op_that_litert_lacks_is_told_in_words():
    printed = (
        'error: loc(callsite(fused["MaxPool3D:", "net/pool/MaxPool3D@__inference_serve_1"] at '
        "callsite())): 'tf.MaxPool3D' op is neither a custom op nor a flex op"
    )
    said = lacking_op(printed)
    assert said.startswith("LiteRT has no op for TensorFlow's MaxPool3D in 'net/pool'")
    assert "pool over two axes" in said
    assert lacking_op("Segmentation fault") is None


def test_a_normalization_over_one_channel_runs_in_integers():
    model = keras.Sequential([keras.Input((4, 1)), layers.LayerNormalization()])
    model.layers[0].beta.assign([0.75])
    x = np.random.default_rng(0).normal(size=(50, 4, 1)).astype("float32")
    file = ek.convert(model, "int8", calibration=x)["int8"]
    assert ek.inspect(file).float_islands == []
    for kernels in ("xnnpack", "builtin", "reference"):
        error = np.abs(file.predict(x, kernels=kernels) - 0.75).max()
        assert error < 0.3  # the answer is about a step of what cancels in it


def test_unit_lengths_and_sums_are_integer_even_where_calibration_has_no_length():
    inputs = keras.Input((4, 6))
    units = layers.UnitNormalization()(inputs)
    model = keras.Model(inputs, {"unit": units, "sum": ops.sum(-inputs, 1)})
    x = np.random.default_rng(0).integers(-127, 128, (50, 4, 6)).astype("float32")
    x[0] = 0  # its length is 0, the inverse infinite
    file = ek.convert(model, "int8", calibration=x)["int8"]
    report = ek.inspect(file)
    assert report.float_islands == []
    steps = {output.name: output.scale for output in report.outputs}
    found = file.predict(x, kernels="reference")
    lengths = np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-12)
    assert np.abs(found["unit"] - x / lengths).max() < 1.01 * steps["unit"]
    assert np.abs(found["sum"] + x.sum(1)).max() < 1.51 * steps["sum"]

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters import ConversionError


def test_formats_come_in_the_order_asked_for(trained, data):
    found = ek.convert(trained, ["int8", "float32", "int8"], calibration=data[0][:32])
    assert list(found) == ["int8", "float32"]


def test_repetition_gives_the_same_bytes(trained_qat, files):
    assert ek.convert(trained_qat, ["int8"])["int8"].content == files["qat"].content


def test_shapes_are_fixed_at_batch_one(files):
    for file in files.values():
        report = ek.inspect(file)
        assert report.inputs[0].shape[0] == 1
        assert not {"SHAPE", "STRIDED_SLICE", "PACK"} & {op.name for op in report.ops}


def test_sequential_with_flatten_and_integer_input():
    model = keras.Sequential(
        [keras.Input((4, 4, 1), dtype="uint8", name="pixels"), layers.Rescaling(1 / 255.0),
         layers.Flatten(), layers.Dense(2)]
    )  # fmt: skip
    file = ek.convert(model)["float32"]
    x = np.random.default_rng(0).integers(0, 256, (3, 4, 4, 1)).astype("uint8")
    np.testing.assert_allclose(file.predict(x), model.predict(x, verbose=0), atol=1e-5)


def test_dynamic_quantises_large_weights_and_says_when_it_did_nothing(trained):
    model = keras.Sequential([keras.Input((64,)), layers.Dense(64)])
    report = ek.inspect(ek.convert(model, ["dynamic"])["dynamic"])
    assert report.op_dtypes == {"float32×int8": 1}
    with pytest.warns(UserWarning, match="dynamic: no weight became int8"):
        ek.convert(trained, ["dynamic"])


def test_a_crash_of_the_converter_is_an_error():
    """LiteRT's converter dies with SIGSEGV on an int8 LSTM of fixed shape."""
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(4)], name="rnn")
    x = np.zeros((4, 5, 3), "float32")
    with pytest.raises(ConversionError, match="converting model 'rnn' to int8 failed: .*SIG"):
        ek.convert(model, ["int8"], calibration=x)


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"formats": ["int9"]}, "must name one or more of float32, float16, dynamic, int8"),
        ({"formats": []}, "must name one or more"),
        ({"formats": ["int8"]}, "int8 needs `calibration`"),
        ({"formats": ["int8"], "calibration": np.zeros((0, 8, 8, 3))}, "is empty"),
        ({"formats": ["int8"], "calibration": np.full((2, 8, 8, 3), np.nan)}, "NaN"),
        ({"formats": ["int8"], "calibration": np.zeros((2, 8, 8, 1))}, "must have shape"),
        ({"edges": "uint8"}, "`edges` must be"),
    ],
)
def test_bad_requests(trained, options, match):
    with pytest.raises(ValueError, match=match):
        ek.convert(trained, **options)


def test_calibration_by_the_names_of_the_keras_model():
    a, b = keras.Input((3,), name="p-1"), keras.Input((2,), name="p-2")
    model = keras.Model([a, b], layers.Concatenate()([layers.Dense(2)(a), b]))
    x = {"p-1": np.ones((4, 3)), "p-2": np.ones((4, 2))}
    file = ek.convert(model, "int8", calibration=x)["int8"]
    assert list(file.input_shapes) == ["p_1", "p_2"]


def test_broken_weights_and_ranges_are_refused(trained, trained_qat, data):
    broken = ek.strip(trained)
    broken.get_layer("conv").kernel.assign(np.full((3, 3, 3, 8), np.nan))
    with pytest.raises(ValueError, match="conv/kernel' holds NaN"):
        ek.convert(broken)
    qat = ek.quantize_aware(trained)
    qat(data[0] * np.nan, training=True)
    with pytest.raises(ValueError, match="holds NaN"):
        ek.convert(qat, ["int8"])


def test_a_batch_larger_than_the_calibration_is_refused():
    model = keras.Sequential([keras.Input((10,), batch_size=32), layers.Dense(3)])
    with pytest.raises(ValueError, match="at least one batch of the model, 32 samples"):
        ek.convert(model, ["int8"], calibration=np.zeros((10, 10)))


def test_models_that_cannot_be_converted(trained, trained_qat):
    with pytest.raises(ValueError, match=r"convert it to 'int8', or ek.strip\(model\)"):
        ek.convert(trained_qat, ["float16"])
    with pytest.raises(ValueError, match="have seen no data"):
        ek.convert(ek.quantize_aware(trained), ["int8"])
    with pytest.raises(ValueError, match="every dimension but the batch fixed"):
        ek.convert(keras.Sequential([keras.Input((None, 3)), layers.Dense(2)]))
    with pytest.raises(ValueError, match="must be a Keras 3 model. Received: str"):
        ek.convert("model.keras")

    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    net = Net()
    net(np.zeros((1, 3)))
    with pytest.raises(ValueError, match=r"wrap it: .*keras.Model\(inputs, model\(inputs\)\)"):
        ek.convert(net)
    inputs = keras.Input((3,))
    x = np.ones((2, 3), "float32")
    file = ek.convert(keras.Model(inputs, net(inputs)))["float32"]
    np.testing.assert_allclose(file.predict(x), net.predict(x, verbose=0), atol=1e-6)

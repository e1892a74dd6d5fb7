import os
import signal
import threading
import time
import warnings
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters import FORMATS, ConversionError
from converters.servers import SERVERS


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
    with pytest.raises(ConversionError, match="dynamic: no weight became smaller"):
        ek.convert(trained, ["dynamic"])


@pytest.fixture(scope="module")
def wide():
    """A trained-looking net with kernels large enough for every format."""
    keras.utils.set_random_seed(1)
    model = keras.Sequential(
        [
            keras.Input((8, 8, 4)),
            layers.Conv2D(32, 3, padding="same", activation="relu"),
            layers.SeparableConv2D(64, 3, activation="relu6"),
            layers.Flatten(),
            layers.Dense(64, activation="swish"),
            layers.Dense(10, activation="softmax"),
        ]
    )
    x = np.random.default_rng(0).normal(size=(48, 8, 8, 4)).astype("float32")
    return model, x, ek.convert(model, list(FORMATS), calibration=x)


# What each format may lose against Keras, in dB of signal to noise.
LEAST_DB = {
    "float32": 90, "float16": 55, "dynamic": 30, "weight_only": 35, "dynamic_int4": 10,
    "weight_only_int4": 10, "int8": 25, "int16x8": 35, "int4": 8,
}  # fmt: skip


@pytest.mark.parametrize("name", list(FORMATS))
def test_every_format_computes_what_keras_does(wide, name):
    model, x, files = wide
    expected = model.predict(x, verbose=0)
    error = files[name].predict(x) - expected
    assert 10 * np.log10(np.mean(expected**2) / np.mean(error**2)) > LEAST_DB[name]
    report = ek.inspect(files[name])
    if FORMATS[name].integer:
        assert set(report.op_dtypes) == {"int16" if name == "int16x8" else "int8"}
    stored = {w.dtype for w in report.weights}
    assert ("int4" in stored) == (FORMATS[name].weights == 4)


def test_formats_become_smaller(wide):
    sizes = {name: file.size for name, file in wide[2].items()}
    assert sizes["int4"] < sizes["int8"] < sizes["float16"] < sizes["float32"]
    assert sizes["weight_only_int4"] < sizes["weight_only"] < sizes["float16"]


def test_from_a_float_flatbuffer_or_a_file(wide, tmp_path):
    model, x, files = wide
    found = ek.convert(files["float32"], ["int8", "float16"], calibration=x)
    assert {name: file.content for name, file in found.items()} == {
        name: files[name].content for name in found
    }
    files["float16"].save(tmp_path / "half.tflite")
    again = ek.convert(tmp_path / "half.tflite", "int8", calibration=x)["int8"]
    assert set(ek.inspect(again).op_dtypes) == {"int8"}
    model.save(tmp_path / "model.keras")
    assert ek.convert(tmp_path / "model.keras")["float32"].content == files["float32"].content
    with pytest.raises(ValueError, match="quantised already: start from the float model"):
        ek.convert(files["int8"], "int4", calibration=x)


def test_blocks_share_scales():
    """A block without the few large weights of its channel is counted in finer steps."""
    model = keras.Sequential([keras.Input((256,)), layers.Dense(64)])
    kernel, bias = model.layers[0].get_weights()
    kernel[:8] *= 20
    model.layers[0].set_weights([kernel, bias])
    x = np.random.default_rng(0).normal(size=(32, 256)).astype("float32")
    x[:, :8] = 0
    expected, errors = model.predict(x, verbose=0), []
    for block in (None, 32):
        with warnings.catch_warnings(action="ignore"):  # far from the model by channel
            file = ek.convert(model, "dynamic_int4", block=block)["dynamic_int4"]
        errors.append(np.mean((file.predict(x) - expected) ** 2))
    assert errors[1] < 0.2 * errors[0]


def test_estimators_give_other_ranges(wide):
    model, x, files = wide
    x = np.concatenate([x] * 4)
    x[20, 0, 0, 0] = 300.0  # an outlier that minmax makes room for
    found = {
        name: ek.convert(files["float32"], "int8", x, estimator=name)["int8"]
        for name in ("minmax", "ema", "percentile", "mse", "entropy")
    }
    steps = {name: ek.inspect(file).inputs[0].scale for name, file in found.items()}
    assert steps["minmax"] > 1.0
    assert max(steps["ema"], steps["percentile"]) < 0.05
    assert max(steps["mse"], steps["entropy"]) < steps["minmax"]
    chosen = ek.convert(files["float32"], "int8", x, estimator={"input|serving": "percentile"})
    assert ek.inspect(chosen["int8"]).inputs[0].scale == steps["percentile"]


def test_symmetric_activations(wide):
    model, x, _ = wide
    report = ek.inspect(ek.convert(model, "int8", x, symmetric=True)["int8"])
    assert report.inputs[0].zero_point == 0


def test_recurrent_layers_become_integer():
    model = keras.Sequential(
        [keras.Input((6, 3)), layers.Bidirectional(layers.LSTM(8)), layers.Dense(4)]
    )
    x = np.random.default_rng(0).normal(size=(32, 6, 3)).astype("float32")
    files = ek.convert(model, ["float32", "int8"], calibration=x)
    assert "WHILE" in {op.name for op in ek.inspect(files["float32"]).ops}
    assert set(ek.inspect(files["int8"]).op_dtypes) == {"int8"}
    expected = model.predict(x, verbose=0)
    error = files["int8"].predict(x) - expected
    assert np.sum(error**2) < 0.003 * np.sum(expected**2)


def test_a_crash_of_native_code_is_an_error(trained):
    """The fork is hit by a real SIGSEGV, from outside; the program lives, and converts on."""
    with SERVERS["keras"].server() as server:
        pass  # it waits now

    def crash():
        children = Path(f"/proc/{server.child.pid}/task/{server.child.pid}/children")
        while not (forks := children.read_text().split()):
            time.sleep(0.01)
        os.kill(int(forks[0]), signal.SIGSEGV)

    threading.Thread(target=crash, daemon=True).start()
    calibration = np.zeros((8, 8, 8, 3), "float32")
    with pytest.raises(ConversionError, match="converting model 'cnn' to .* failed: .*SIGSEGV"):
        ek.convert(trained, ["int8"], calibration=calibration)
    assert ek.convert(trained)["float32"].size > 0


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"formats": ["int9"]}, "must name one or more of float32, float16, dynamic"),
        ({"formats": []}, "must name one or more"),
        ({"formats": ["int8"]}, "int8 needs `calibration`"),
        ({"formats": ["int4", "int16x8"]}, "int4, int16x8 needs `calibration`"),
        ({"estimator": "median"}, "`estimator` must be one of minmax, ema"),
        ({"block": 48}, "`block` must be one of"),
        ({"block": 32}, "`block` is for the format dynamic_int4"),
        ({"symmetric": "yes"}, "`symmetric` must be True or False"),
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
    with pytest.raises(ValueError, match="holds NaN|have seen no finite data"):
        ek.convert(qat, ["int8"])


def test_a_batch_larger_than_the_calibration_is_refused():
    model = keras.Sequential([keras.Input((10,), batch_size=32), layers.Dense(3)])
    with pytest.raises(ValueError, match="at least one batch of the model, 32 samples"):
        ek.convert(model, ["int8"], calibration=np.zeros((10, 10)))


def test_models_that_cannot_be_converted(trained, trained_qat):
    with pytest.raises(ValueError, match=r"convert it to 'int8', or ek.strip\(model\)"):
        ek.convert(trained_qat, ["float16"])
    with pytest.raises(ValueError, match="have seen no finite data"):
        ek.convert(ek.quantize_aware(trained), ["int8"])
    with pytest.raises(ValueError, match="every dimension but the batch fixed"):
        ek.convert(keras.Sequential([keras.Input((None, 3)), layers.Dense(2)]))
    with pytest.raises(ValueError, match="or the path of a model's file .*Received: int"):
        ek.convert(3)
    with pytest.raises(FileNotFoundError, match="no such file: model.keras"):
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

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters import Flatbuffer
from converters.runner import dequantize, quantize


@pytest.fixture(scope="module")
def two_by_two():
    """Two inputs, two outputs, in an order that names would reverse."""
    b, a = keras.Input((3,), name="b"), keras.Input((2,), name="a")
    outputs = [
        layers.Dense(4, name="z")(b),
        layers.Dense(1, name="y")(layers.Concatenate()([b, a])),
    ]
    model = keras.Model([b, a], outputs)
    return model, ek.convert(model)["float32"]


@pytest.mark.parametrize("name", ["float32", "float16", "int8", "qat"])
def test_predicts_what_keras_predicts(files, trained, trained_qat, data, name):
    x, _ = data
    found = files[name].predict(x)
    expected = (trained_qat if name == "qat" else trained).predict(x, verbose=0)
    assert found.shape == expected.shape
    assert found.dtype == np.float32
    close = {"float32": 1e-5, "float16": 1e-2}.get(name, 0.05)
    np.testing.assert_allclose(found, expected, atol=close)
    assert np.mean(found.argmax(1) == expected.argmax(1)) > 0.95


@pytest.mark.parametrize("batch", [1, 3, 128])
def test_any_batch_gives_the_same_answers(files, data, batch):
    x, _ = data
    one_by_one = np.concatenate(
        [files["int8"].predict(x[i : i + batch]) for i in range(0, 6, batch)]
    )
    np.testing.assert_array_equal(one_by_one, files["int8"].predict(x[: len(one_by_one)]))


def test_several_inputs_and_outputs_by_name(two_by_two):
    model, file = two_by_two
    rng = np.random.default_rng(0)
    b, a = rng.random((5, 3)).astype("float32"), rng.random((5, 2)).astype("float32")
    expected = model.predict([b, a], verbose=0)
    found = file.predict({"a": a, "b": b})
    assert list(found) == ["output_0", "output_1"]
    for i, output in enumerate(expected):
        np.testing.assert_allclose(found[f"output_{i}"], output, atol=1e-6)
    for name, values in file.predict([b, a]).items():
        np.testing.assert_array_equal(values, found[name])
    with pytest.raises(ValueError, match=r"must be a dict .* \['a', 'b'\]"):
        file.predict([b, a, a])


def test_a_model_that_returns_its_input():
    x = keras.Input((3,), name="x")
    data = np.random.default_rng(0).random((4, 3)).astype("float32")
    model = keras.Model(x, [layers.Dense(2)(x), x])
    file = ek.convert(model, ["float32", "int8"], calibration=data)["float32"]
    np.testing.assert_array_equal(file.predict(data)["output_1"], data)
    report = ek.inspect(file)
    assert [e.name for e in report.inputs] == ["x"]
    assert [e.name for e in report.outputs] == ["output_0", "output_1"]


def test_stored_integers_pass_through(files, data):
    x, _ = data
    edge = ek.inspect(files["int8"]).inputs[0]
    stored = quantize(x, {"dtype": np.int8, "quantization": (edge.scale, edge.zero_point)})
    np.testing.assert_array_equal(files["int8"].predict(stored), files["int8"].predict(x))


def test_integers_that_are_not_the_stored_dtype_are_real_values(files):
    bright = np.full((1, 8, 8, 3), 1, dtype="uint8")
    np.testing.assert_array_equal(
        files["int8"].predict(bright), files["int8"].predict(bright.astype("float32"))
    )


def test_kernels(files, data):
    x, _ = data
    a = files["int8"].predict(x, kernels="reference")
    b = files["int8"].predict(x, kernels="xnnpack")
    assert np.abs(a - b).max() < 0.05
    with pytest.raises(ValueError, match="`kernels` must be one of"):
        files["int8"].predict(x, kernels="gpu")


def test_quantise_and_dequantise_are_inverse_on_the_grid():
    detail = {"dtype": np.int8, "quantization": (0.1, 3)}
    stored = np.arange(-128, 128).astype("int8")
    np.testing.assert_array_equal(quantize(dequantize(stored, detail), detail), stored)
    assert quantize(np.array([1e9, -1e9]), detail).tolist() == [127, -128]


@pytest.mark.parametrize(
    ("x", "match"),
    [
        (np.zeros((2, 8, 8)), "must have shape"),
        (np.zeros((0, 8, 8, 3)), "is empty"),
        (np.full((1, 8, 8, 3), np.nan), "NaN"),
        ({"picture": np.zeros((1, 8, 8, 3)), "y": 1}, r"named \['image'\]"),
    ],
)
def test_wrong_inputs(files, x, match):
    with pytest.raises(ValueError, match=match):
        files["float32"].predict(x)


def test_saves_whole_and_reads_back(files, tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        files["int8"].save(tmp_path / "none" / "m.tflite")
    path = files["int8"].save(tmp_path / "m.tflite")
    again = Flatbuffer.from_file(path)
    assert again.content == files["int8"].content
    assert again.size == path.stat().st_size
    assert again.gzip_size < again.size


def test_bytes_that_are_no_model(tmp_path, files):
    with pytest.raises(ValueError, match="not a LiteRT flatbuffer"):
        Flatbuffer(b"hello, world")
    with pytest.raises(FileNotFoundError, match="no such file"):
        Flatbuffer.from_file(tmp_path / "none.tflite")
    (tmp_path / "text.tflite").write_text("no")
    with pytest.raises(ValueError, match=r"text.tflite: not a LiteRT"):
        Flatbuffer.from_file(tmp_path / "text.tflite")
    cut = Flatbuffer(files["int8"].content[: files["int8"].size // 2])
    with pytest.raises(ValueError, match="damaged|cannot load"):
        cut.predict(np.zeros((1, 8, 8, 3)))


def test_tensors_inside_a_file(files, data):
    found = files["qat"].tensors(data[0][:5])
    assert all(tensor.values.shape[0] == 5 for tensor in found.values())
    (name,) = [n for n in found if "conv_relu_range" in n]
    assert found[name].scale > 0
    output = files["qat"].predict(data[0][:5], kernels="reference")
    assert any(
        tensor.values.shape == output.shape and np.array_equal(tensor.values, output)
        for tensor in found.values()
    )
    with pytest.raises(ValueError, match="`kernels` must be one of"):
        files["qat"].tensors(data[0], kernels="fast")


def test_a_list_of_inputs_is_in_the_order_of_the_model(tmp_path):
    """Which is not that of the names, by which the file has them."""
    b, a = keras.Input((3,), name="b"), keras.Input((3,), name="a")
    model = keras.Model([b, a], keras.ops.subtract(b, a))
    file = ek.convert(model)["float32"]
    x = [np.full((2, 3), 5.0, "float32"), np.full((2, 3), 2.0, "float32")]
    np.testing.assert_array_equal(file.predict(x), np.full((2, 3), 3.0))
    read = Flatbuffer.from_file(file.save(tmp_path / "m.tflite"))
    with pytest.raises(ValueError, match="must be a dict"):
        read.predict(x)


def test_a_list_for_a_file_goes_by_its_shapes(tmp_path):
    b, a = keras.Input((3,), name="b"), keras.Input((1,), name="a")
    file = ek.convert(keras.Model([b, a], keras.ops.subtract(b, a)))["float32"]
    read = Flatbuffer.from_file(file.save(tmp_path / "m.tflite"))
    x = [np.full((2, 3), 5.0, "float32"), np.full((2, 1), 2.0, "float32")]
    np.testing.assert_array_equal(read.predict(x), np.full((2, 3), 3.0))

import keras
import numpy as np
import pytest

import edgekit as ek
from converters.calibration.streams import read_samples

SHAPES = {"image": (None, 4, 4, 3)}
TWO = {"a": (None, 2), "b": (None, 3)}


def batches(count, size=8):
    rng = np.random.default_rng(0)
    for _ in range(count):
        yield rng.random((size, 4, 4, 3)).astype("float32")


def test_a_generator_of_batches():
    whole = np.concatenate(list(batches(3)))
    found = read_samples(batches(3), SHAPES, in_order=True)
    np.testing.assert_array_equal(found["image"], whole)


def test_single_samples_and_labels():
    stream = ((x[0], 1) for x in batches(5))
    assert read_samples(stream, SHAPES, in_order=True)["image"].shape == (5, 4, 4, 3)


def test_an_endless_stream_ends():
    endless = (np.zeros((64, 4, 4, 3)) for _ in iter(int, 1))
    assert len(read_samples(endless, SHAPES, in_order=True)["image"]) == 1000


def test_a_tf_dataset():
    import tensorflow as tf

    x = np.concatenate(list(batches(3)))
    data = tf.data.Dataset.from_tensor_slices((x, np.zeros(24))).batch(5)
    np.testing.assert_array_equal(read_samples(data, SHAPES, in_order=True)["image"], x)
    unbatched = tf.data.Dataset.from_tensor_slices(x)
    np.testing.assert_array_equal(read_samples(unbatched, SHAPES, in_order=True)["image"], x)


class Batches(keras.utils.PyDataset):
    def __len__(self):
        return 3

    def __getitem__(self, index):
        return list(batches(3))[index], np.zeros(8)


def forms_of_one_input():
    whole = np.concatenate(list(batches(3)))
    labels = np.zeros(24)
    return {
        "function": lambda: ([x] for x in batches(3)),  # TensorFlow's representative_dataset
        "function by name": lambda: ({"image": x} for x in batches(3)),
        "py_dataset": Batches(),
        "list of inputs": [whole],
        "x, y": (whole, labels),
        "x, y as a list": [whole, labels],
        "x, y, weights": (whole, labels, labels),
        "an autoencoder's x, y": (whole, whole),
        "dict, y": ({"image": whole}, labels),
        "list of batches": list(batches(3)),
        "two batches": [whole[:20], whole[20:]],
        "list of samples": list(whole),
        "list of lists of batches": [[x] for x in batches(3)],
        "batches as a loader gives them": ([x, np.zeros(8)] for x in batches(3)),
        "x_train": {"x_train": whole, "x_test": whole + 9, "y_train": labels, "y_test": labels},
    }


@pytest.mark.parametrize("form", list(forms_of_one_input()))
def test_every_form_of_one_input(form):
    found = read_samples(forms_of_one_input()[form], SHAPES, in_order=True)
    np.testing.assert_array_equal(found["image"], np.concatenate(list(batches(3))))


A, B = np.random.default_rng(0).normal(size=(6, 2)), np.random.default_rng(1).normal(size=(6, 3))


@pytest.mark.parametrize(
    "data",
    [
        [A, B],
        (A, B),
        ([A, B], np.zeros(6)),
        ({"b": B, "a": A}, np.zeros(6)),
        ((A, B), np.zeros(6), np.ones(6)),
        [[A[:4], B[:4]], [A[4:], B[4:]]],
        [[a, b] for a, b in zip(A, B, strict=True)],
        [{"a": a, "b": b} for a, b in zip(A, B, strict=True)],
        {"input.a": A, "b": B},
        ({"input.a": a, "b": b} for a, b in zip(A, B, strict=True)),
        lambda: ([A[i : i + 1], B[i : i + 1]] for i in range(6)),
    ],
)
def test_every_form_of_several_inputs(data):
    found = read_samples(data, TWO, in_order=True, aliases={"input.a": "a"})
    np.testing.assert_array_equal(found["a"], A)
    np.testing.assert_array_equal(found["b"], B)


def test_a_file_with_a_test_set_is_read_for_its_training_set(tmp_path):
    x = np.concatenate(list(batches(3)))
    np.savez(tmp_path / "data.npz", x_test=x[:4], y_test=x[:4, 0, 0, 0], x_train=x, y_train=x)
    found = read_samples(tmp_path / "data.npz", SHAPES, in_order=True)["image"]
    np.testing.assert_array_equal(found, x)


def test_several_inputs():
    stream = ([np.zeros((4, 2)), np.ones((4, 3))] for _ in range(2))
    found = read_samples(stream, TWO, in_order=True)
    assert {name: array.shape for name, array in found.items()} == {"a": (8, 2), "b": (8, 3)}
    by_name = ({"b": np.ones((4, 3)), "a": np.zeros((4, 2))} for _ in range(2))
    assert read_samples(by_name, TWO, in_order=True)["b"].all()


@pytest.mark.parametrize(
    ("stream", "shapes", "match"),
    [
        (iter([]), SHAPES, "the stream gave no samples"),
        (iter([np.zeros((4, 4, 4, 1))]), SHAPES, "Received float64 of shape"),
        ([np.zeros((4, 4, 4, 1))], SHAPES, r"'image' \(samples, 4, 4, 3\). Received float64"),
        ([], SHAPES, "is empty"),
        (np.array([None, None]), SHAPES, "stack them into one array"),
        (np.full((2, 4, 4, 3), np.nan), SHAPES, "NaN or infinite"),
        (lambda batch: None, SHAPES, "needs arguments"),
        (lambda: None, SHAPES, "returned nothing"),
        (3, SHAPES, "Received: int"),
        ([np.zeros((4, 3)), np.zeros((4, 2))], TWO, "another order than the model's inputs, 'a'"),
        ({"x_test": np.zeros((4, 4, 4, 3)), "y_test": [1]}, SHAPES, "or one of x, x_train"),
        (iter([np.zeros((2, 2)), np.zeros((2, 3))]), {"x": (None, None)}, "different shapes"),
        (iter([np.zeros((4, 2))]), TWO, "an array for each of the inputs"),
        (iter([{"a": np.zeros((4, 2))}]), TWO, "must give arrays named"),
    ],
)
def test_bad_streams(stream, shapes, match):
    with pytest.raises(ValueError, match=match):
        read_samples(stream, shapes, in_order=True)


def test_a_folder_of_images(tmp_path):
    from PIL import Image

    for i in range(3):
        (tmp_path / f"class{i}").mkdir()
        Image.new("RGB", (9, 7), (10 * i, 20, 30)).save(tmp_path / f"class{i}" / "a.png")
    found = read_samples(tmp_path, SHAPES, in_order=True)["image"]
    assert found.shape == (3, 4, 4, 3)
    np.testing.assert_array_equal(found[:, 0, 0, 0], [0, 10, 20])
    assert read_samples(tmp_path, {"x": (None, 5, 6, 1)}, in_order=True)["x"].shape == (3, 5, 6, 1)
    with pytest.raises(ValueError, match="pass arrays"):
        read_samples(tmp_path, {"x": (None, 5)}, in_order=True)
    (tmp_path / "class0" / "b.jpg").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"b\.jpg cannot be read"):
        read_samples(tmp_path, SHAPES, in_order=True)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="holds no images"):
        read_samples(tmp_path / "empty", SHAPES, in_order=True)


def test_converting_from_a_stream(trained, data):
    stream = (data[0][i : i + 8] for i in range(0, 64, 8))
    found = ek.convert(trained, "int8", calibration=stream)["int8"]
    assert found.content == ek.convert(trained, "int8", calibration=data[0][:64])["int8"].content

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
        (iter([np.zeros((4, 4, 4, 1))]), SHAPES, "must have shape"),
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

"""Inputs of every kind, against what LiteRT gives when it is driven by hand."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import edgekit as ek
from converters import Flatbuffer
from tests.converters.lite_files import lite_file

RNG = np.random.default_rng(0)


def spec(name, *shape, dtype=tf.float32):
    return tf.TensorSpec(list(shape), dtype, name=name)


def by_hand(file: Flatbuffer, **arrays) -> np.ndarray:
    """The first output for arrays in the dtype of the inputs, in one run."""
    interpreter = Interpreter(model_content=file.content)
    details = {d["name"]: d for d in interpreter.get_input_details()}
    for name, array in arrays.items():
        interpreter.resize_tensor_input(details[name]["index"], array.shape)
    interpreter.allocate_tensors()
    for name, array in arrays.items():
        interpreter.set_tensor(details[name]["index"], array)
    interpreter.invoke()
    return interpreter.get_tensor(interpreter.get_output_details()[0]["index"])


def normal(*shape):
    return RNG.normal(size=shape).astype("float32")


CASES = {
    "single numbers": (
        lambda a, b: a + b,
        [spec("a"), spec("b")],
        {"a": normal(), "b": normal()},
    ),
    "no batch in common": (
        lambda q, k: tf.matmul(q, k, transpose_b=True),
        [spec("q", 1, 4), spec("k", 3, 4)],
        {"q": normal(1, 4), "k": normal(3, 4)},
    ),
    "all with all": (
        lambda q, k: tf.matmul(q, k, transpose_b=True),
        [spec("q", None, 4), spec("k", None, 4)],
        {"q": normal(2, 4), "k": normal(2, 4)},
    ),
    "open height and width": (
        lambda a: tf.nn.avg_pool2d(a, 2, 2, "SAME"),
        [spec("a", 1, None, None, 1)],
        {"a": normal(1, 6, 8, 1)},
    ),
    "a sound of any length": (
        lambda a: tf.reduce_max(a) - a,
        [spec("a", None)],
        {"a": normal(7)},
    ),
    "a scalar beside a batch": (
        lambda a, t: a * t,
        [spec("a", 1, 4), spec("t")],
        {"a": normal(1, 4), "t": normal()},
    ),
    "truth": (
        tf.logical_not,
        [spec("a", 1, 4, dtype=tf.bool)],
        {"a": np.array([[True, False, False, True]])},
    ),
    "64 bits": (
        lambda a: a + a,
        [spec("a", 1, 2, dtype=tf.int64)],
        {"a": np.array([[2**40, -3]])},
    ),
    "strings": (
        lambda a: tf.reshape(a, [4]),
        [spec("a", 2, 2, dtype=tf.string)],
        {"a": np.array([[b"one", b""], [b"a\0", "é".encode()]], object)},
    ),
    "a shape that depends on the data": (
        lambda a: tf.boolean_mask(a, a > 0),
        [spec("a", 4)],
        {"a": np.array([1, -1, 2, 3], "float32")},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_what_litert_takes(name):
    function, specs, arrays = CASES[name]
    file = lite_file(function, *specs)
    expected = by_hand(file, **arrays)
    found = file.predict(arrays)
    assert found.shape == expected.shape
    np.testing.assert_array_equal(found, expected)
    reference = file.predict(arrays, kernels="reference")
    assert reference.shape == expected.shape
    assert file.tensors(arrays)


def test_open_batches_and_open_sizes_together():
    file = lite_file(lambda a: tf.nn.softmax(a, axis=1), spec("a", None, None, 3))
    x = normal(5, 4, 3)
    np.testing.assert_allclose(file.predict(x), by_hand(file, a=x), rtol=1e-6)


def test_what_mixes_an_open_batch_is_not_torn_apart():
    file = lite_file(lambda a: tf.reduce_mean(a, axis=0), spec("a", None, 3))
    x = normal(5, 3)
    np.testing.assert_allclose(file.predict(x), x.mean(axis=0), rtol=1e-5)


def test_a_scalar_goes_into_every_run():
    file = lite_file(lambda a, t: a * t, spec("a", 1, 4), spec("t"))
    x = normal(5, 4)
    np.testing.assert_array_equal(file.predict({"a": x, "t": 3}), 3 * x)


@pytest.fixture(scope="module")
def masked():
    return lite_file(lambda a: tf.boolean_mask(a[0], a[0] > 0), spec("a", 1, 4))


def test_shapes_that_depend_on_data_are_not_glued_together(masked):
    x = np.array([[1, -1, 2, 3], [1, 1, 2, 3]], "float32")
    with pytest.raises(
        ValueError, match=r"'Identity' has a shape that depends on the data: \(3,\)"
    ):
        masked.predict(x)
    assert masked.predict(x[:1]).tolist() == [1, 2, 3]
    assert "Identity" not in masked.tensors(x)


@pytest.mark.parametrize(
    ("dtype", "x", "match"),
    [
        (tf.float32, np.ones((1, 5)), r"must have shape \(samples, 4\). Received: \(1, 5\)"),
        (tf.bool, [[0, 1, 2, 1]], "must be true or false, 0 or 1"),
        (tf.int32, [[0.5, 1, 1, 1]], "whole numbers from -2147483648 .* Received: 0.5"),
        (tf.uint8, [[256, 1, 1, 1]], "whole numbers from 0 to 255. Received: 256"),
        (tf.string, np.ones((1, 4)), "must be strings. Received: float64"),
        (tf.float32, [["a", "b", "c", "d"]], "must be numbers"),
    ],
)
def test_values_that_an_input_cannot_take(dtype, x, match):
    file = lite_file(tf.identity, spec("a", 1, 4, dtype=dtype))
    with pytest.raises(ValueError, match=f"`x` for input 'a' .*{match}"):
        file.predict(x)


def test_benchmark_feeds_them_too():
    function, specs, arrays = CASES["no batch in common"]
    files = {"qk": lite_file(function, *specs)}
    quick = {"processes": 1, "seconds": 0.01}
    found = ek.benchmark(files, inputs=arrays, **quick)
    assert found["qk"].error is None
    with pytest.raises(ValueError, match="`batch` does not apply to model 'qk'.*batch=2"):
        ek.benchmark(files, batch=2, **quick)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (lambda x: x, None),
        (lambda x: (x * 255).astype("uint8"), "are outside what the file takes, 0 to 0.9998, and"),
        (lambda x: x / 500, "stores as 2 of its 256 steps"),
    ],
)
def test_values_in_another_scale_are_told_once(files, data, values, said, recwarn):
    fresh = Flatbuffer(files["int8"].content)
    x = values(data[0][:4])
    fresh.predict(x)
    fresh.predict(x)
    told = [w for w in recwarn if issubclass(w.category, UserWarning)]
    assert len(told) == (said is not None)
    if said:
        assert "`x` for input 'image'" in str(told[0].message)
        assert said in str(told[0].message)
        assert told[0].filename == __file__

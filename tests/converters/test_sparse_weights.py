import keras
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from keras import layers

import edgekit as ek
from converters.sparse_tensor import decode


@pytest.fixture(scope="module")
def pruned():
    """A net with nine of ten weights zero in all kernels that are not depthwise."""
    keras.utils.set_random_seed(0)
    x = image = keras.Input((8, 8, 16))
    for filters in (64, 64):
        x = layers.Conv2D(filters, 1, activation="relu")(x)
        x = layers.DepthwiseConv2D(3)(x)
    x = layers.Dense(64)(layers.GlobalAveragePooling2D()(layers.Conv2D(64, 3)(x)))
    model = keras.Model(image, layers.Dense(10)(x))
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if layer.get_weights() and "depthwise" not in layer.name:
            kernel, bias = layer.get_weights()
            kernel *= 3 * (rng.random(kernel.shape) > 0.9)
            layer.set_weights([kernel, bias])
    x = rng.normal(size=(32, 8, 8, 16)).astype("float32")
    formats = ["float32", "int8", "int16x8", "float16"]
    whole = ek.convert(model, formats, calibration=x)
    return model, x, whole, ek.convert(model, formats, calibration=x, sparse=True)


@pytest.mark.parametrize(("name", "factor"), [("float32", 3.5), ("int8", 1.8), ("int16x8", 1.8)])
def test_files_shrink_and_compute_the_same(pruned, name, factor):
    _, x, whole, sparse = pruned
    assert sparse[name].size * factor < whole[name].size
    np.testing.assert_allclose(sparse[name].predict(x), whole[name].predict(x), atol=1e-5)
    assert "stored sparse" in sparse[name].check.notes[-1]


def test_inspect_sees_through(pruned):
    _, _, whole, sparse = pruned
    for name in ("float32", "int8"):
        dense, found = ek.inspect(whole[name]), ek.inspect(sparse[name])
        assert found.sparsity == dense.sparsity > 0.8
        assert found.macs == dense.macs
        assert found.op_dtypes == dense.op_dtypes
        assert sorted(w.zeros for w in found.weights) == sorted(w.zeros for w in dense.weights)
        assert sum(w.bytes for w in found.weights) < sum(w.bytes for w in dense.weights)
        assert all(w.bytes == w.dense_bytes for w in dense.weights)
        held = [sum(w.dense_bytes for w in r.weights) for r in (dense, found)]
        assert held[0] == held[1]
        assert ("stored sparse" in found.summary(), "stored sparse" in dense.summary()) == (1, 0)
    assert {u.op for u in ek.inspect(sparse["int8"]).unsupported("tflite-micro")} == {"DENSIFY"}


def test_what_does_not_pay_stays(pruned, trained):
    _, _, whole, sparse = pruned
    assert sparse["float16"].content == whole["float16"].content
    full = ek.convert(trained)["float32"]
    assert ek.convert(trained, sparse=True)["float32"].content == full.content


def test_a_sparse_file_can_be_converted_on(pruned):
    _, x, whole, sparse = pruned
    again = ek.convert(sparse["float32"], "int8", calibration=x)["int8"]
    np.testing.assert_array_equal(again.predict(x), whole["int8"].predict(x))


@given(st.integers(0, 10_000), st.integers(1, 4), st.integers(1, 4), st.integers(1, 6))
@settings(max_examples=50)
def test_decoding_undoes_encoding(seed, a, b, c):
    rng = np.random.default_rng(seed)
    values = rng.integers(1, 9, (a, b, c)) * (rng.random((a, b, c)) < 0.4)
    rows, columns = np.nonzero(values.reshape(-1, c))
    segments = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=a * b))])
    stored = values.reshape(-1, c)[rows, columns]
    levels = [a, b, (segments, columns)]
    np.testing.assert_array_equal(decode(stored, (a, b, c), [0, 1, 2], [], levels), values)


def test_blocks():
    """The schema's own example: 2×2 blocks, of which two of four are stored."""
    values = np.array([1, 0, 2, 3, 0, 4, 5, 0])  # blocks at (0, 0) and (1, 1)
    levels = [2, (np.array([0, 1, 2]), np.array([0, 1])), 2, 2]
    expected = [[1, 0, 0, 0], [2, 3, 0, 0], [0, 0, 0, 4], [0, 0, 5, 0]]
    found = decode(values, (4, 4), [0, 1, 2, 3], [0, 1], levels)
    np.testing.assert_array_equal(found, expected)


def test_contradictions_are_errors():
    with pytest.raises(ValueError, match="segments that do not fit"):
        decode(np.ones(2), (2, 3), [0, 1], [], [2, (np.array([0, 1]), np.array([0, 1]))])
    with pytest.raises(ValueError, match="outside"):
        decode(np.ones(1), (1, 3), [0, 1], [], [1, (np.array([0, 1]), np.array([7]))])
    with pytest.raises(ValueError, match="larger than itself"):
        decode(np.ones(1), (1, 3), [0, 1], [], [2**30, 3])

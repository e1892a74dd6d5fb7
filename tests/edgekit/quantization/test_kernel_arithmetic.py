"""Kernels that compute otherwise than by rounding once: QAT alike, integer by integer."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek


def leaky_inside():
    x = keras.Input((256,))
    inner = keras.Model(x, layers.LeakyReLU(0.3)(x), name="inner")
    y = keras.Input((256,))
    return keras.Model(y, inner(y))


def model_of(function, size=256):
    x = keras.Input((size,))
    return keras.Model(x, function(x))


def every_integer(scale, zero_point):
    return (np.arange(-128, 128) - zero_point) * np.float32(scale)


def trained_file(qat):
    """A model of 256 values after two batches: its file, that one's report and every input."""
    for seed in range(2):
        data = np.random.default_rng(seed).uniform(-3, 2, (8, 256)).astype("float32")
        qat(data, training=True)
    file = ek.convert(qat, "int8")["int8"]
    report = ek.inspect(file)
    (entry,) = report.inputs
    return file, report, every_integer(entry.scale, entry.zero_point)[None]


def leaky(integers, ratio, slope):
    """XNNPACK's qs8_vlrelu: factors in 1/256."""
    positive, negative = np.round(256 * ratio), np.round(256 * ratio * slope)
    return np.floor(integers * np.where(integers > 0, positive, negative) / 256 + 0.5)


@pytest.mark.parametrize(
    ("make", "slope"),
    [
        (lambda: model_of(layers.LeakyReLU(0.1)), 0.1),
        (lambda: model_of(lambda x: ops.leaky_relu(x, 0.15)), 0.15),
        (lambda: model_of(layers.Activation("leaky_relu")), 0.2),
        (leaky_inside, 0.3),
    ],
    ids=["layer", "operation", "activation", "inside"],
)
def test_a_leaky_relu_is_that_of_xnnpack_for_every_integer(make, slope):
    qat = ek.quantize_aware(make())
    file, report, inputs = trained_file(qat)
    (entry,), (exit_,) = report.inputs, report.outputs
    ratio = entry.scale / exit_.scale
    by_hand = leaky(np.arange(-128, 128) - entry.zero_point, ratio, slope)
    by_hand = np.clip(by_hand + exit_.zero_point, -128, 127) - exit_.zero_point
    for found in (file.predict(inputs, kernels="xnnpack"), qat.predict(inputs, verbose=0)):
        np.testing.assert_allclose(found[0] / exit_.scale, by_hand, atol=1e-3)
    once = np.floor((np.where(inputs > 0, inputs, inputs * slope) / exit_.scale) + 0.5)
    assert np.any(once[0] != by_hand)  # or there would be nothing to see


@pytest.mark.parametrize("factor", [0.5, 0.25, -0.75, 2.0])
def test_a_product_is_that_of_xnnpack_for_every_integer(factor):
    # Both on one grid, the wider: where the factor is a simple fraction many lie on a tie.
    qat = ek.quantize_aware(model_of(lambda x: layers.Concatenate()([x, x * factor])))
    file, report, inputs = trained_file(qat)
    (entry,), (exit_,) = report.inputs, report.outputs
    f32 = np.float32  # qs8_vmulc: 127 stands for the factor, one float32 for all grids
    of_all = f32(entry.scale) * f32(abs(factor) / 127) / f32(exit_.scale)
    products = (np.arange(-128, 128) - entry.zero_point) * 127 * np.sign(factor)
    by_hand = np.round(products.astype(f32) * of_all)
    by_hand = np.clip(by_hand + exit_.zero_point, -128, 127) - exit_.zero_point
    for found in (file.predict(inputs, kernels="xnnpack"), qat.predict(inputs, verbose=0)):
        np.testing.assert_allclose(found[0, 256:] / exit_.scale, by_hand, atol=1e-3)


def test_ties_of_an_average_go_away_from_the_integer_zero():
    x = keras.Input((4, 128, 1))
    qat = ek.quantize_aware(keras.Model(x, layers.AveragePooling2D((4, 1))(x)))
    rng = np.random.default_rng(0)
    for _ in range(2):
        qat(rng.uniform(-3, 2, (8, 4, 128, 1)).astype("float32"), training=True)
    file = ek.convert(qat, "int8")["int8"]
    (entry,) = ek.inspect(file).inputs
    integers = rng.integers(-128, 128, (32, 4, 128, 1))
    inputs = ((integers - entry.zero_point) * np.float32(entry.scale)).astype("float32")
    sums = integers.sum(1, keepdims=True)
    by_hand = np.sign(sums) * ((np.abs(sums) + 2) // 4) - entry.zero_point
    for found in (file.predict(inputs, kernels="xnnpack"), qat.predict(inputs, verbose=0)):
        np.testing.assert_allclose(found / entry.scale, by_hand, atol=1e-3)


def test_what_a_maximum_compares_is_moved_as_xnnpack_does_for_every_integer(tmp_path):
    x = keras.Input((256,))
    larger = layers.Maximum()([x, x * 0.1])
    qat = ek.quantize_aware(keras.Model(x, {"larger": larger, "read": larger * 1.0}))
    file, report, inputs = trained_file(qat)
    (entry,), (exit_,) = report.inputs, [e for e in report.outputs if e.name == "larger"]
    integers = (np.arange(-128, 128) - entry.zero_point).astype("float32")
    ratio = entry.scale / exit_.scale
    moved = np.floor(integers * np.round(256 * ratio) / 256 + 0.5)  # qs8_vcvt
    by_hand = np.maximum(moved, np.round(integers * np.float32(0.1 * ratio)))
    by_hand = np.clip(by_hand + exit_.zero_point, -128, 127) - exit_.zero_point
    qat.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for model in (qat, again):
        found = model.predict(inputs, verbose=0)["larger"]
        np.testing.assert_allclose(found[0] / exit_.scale, by_hand, atol=1e-3)
    found = file.predict(inputs, kernels="xnnpack")["larger"]
    np.testing.assert_allclose(found[0] / exit_.scale, by_hand, atol=1e-3)
    once = np.floor(np.maximum(integers * ratio, integers * (0.1 * ratio)) + 0.5)
    assert np.any(once != by_hand)  # or there would be nothing to see
    plain = ek.strip(qat).predict(inputs, verbose=0)["larger"]
    np.testing.assert_allclose(plain, np.maximum(inputs, inputs * 0.1), rtol=1e-6)


def weights_of_resizing(count, to):
    """XNNPACK's, of 11 bits: from the first and to the second of two places."""
    places = np.clip((np.arange(to) + 0.5) * count / to - 0.5, 0, count - 1).astype("float32")
    first = places.astype(int)
    return first, np.minimum(first + 1, count - 1), np.rint((places - first) * 2048).astype(int)


@pytest.mark.parametrize("size", [(3, 4), (5, 7), (16, 16), (13, 11)])
def test_resizing_is_that_of_xnnpack_for_every_integer(size, tmp_path):
    x = keras.Input((8, 8, 16))
    qat = ek.quantize_aware(keras.Model(x, layers.Resizing(*size)(x)))
    rng = np.random.default_rng(0)
    for _ in range(2):
        qat(rng.uniform(-3, 2, (8, 8, 8, 16)).astype("float32"), training=True)
    file = ek.convert(qat, "int8")["int8"]
    (entry,) = ek.inspect(file).inputs
    integers = rng.integers(-128, 128, (32, 8, 8, 16))
    inputs = ((integers - entry.zero_point) * np.float32(entry.scale)).astype("float32")
    (top, bottom, down), (left, right, across) = (weights_of_resizing(8, n) for n in size)
    across, down = across[:, None], down[:, None, None]
    rows = integers[:, :, left] * 2048 + (integers[:, :, right] - integers[:, :, left]) * across
    both = rows[:, top] * 2048 + (rows[:, bottom] - rows[:, top]) * down
    by_hand = (both + (1 << 21) >> 22) - entry.zero_point
    qat.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    found = [model.predict(inputs, verbose=0) for model in (qat, again)]
    for values in (file.predict(inputs, kernels="xnnpack"), *found):
        assert np.mean(np.abs(values / entry.scale - by_hand) > 0.5) <= 1e-4  # near a tie


def test_an_inverse_root_is_that_of_the_table_for_every_integer():
    # With a layer that has weights, whose bits tell the converter what to make; what is below
    # zero, as in random samples, LiteRT refuses.
    model = model_of(lambda x: {"root": ops.rsqrt(ops.abs(x)), "dense": layers.Dense(1)(x)})
    qat = ek.quantize_aware(model, "int16x8")
    data = np.random.default_rng(0).uniform(0.01, 3, (8, 256)).astype("float32")
    qat(data, training=True)
    file = ek.convert(qat, "int16x8")["int16x8"]
    report = ek.inspect(file)
    inputs = (np.arange(1, 32769 - 256) * np.float32(report.inputs[0].scale)).reshape(-1, 1)
    inputs = np.resize(inputs, (127, 256)).astype("float32")
    found, expected = file.predict(inputs)["root"], qat.predict(inputs, verbose=0)["root"]
    (step,) = (edge.scale for edge in report.outputs if edge.name == "root")
    assert np.mean(np.abs(found - expected) > step / 2) <= 0.0002  # a tie in float32
    once = np.round(np.minimum(1 / np.sqrt(inputs), 32767 * step) / step) * step
    assert np.mean(np.abs(found - once) > step / 2) > 0.1


def test_a_range_as_long_on_both_sides_has_one_zero_point():
    qat = ek.quantize_aware(model_of(lambda x: ops.clip(x, -1.0, 1.0)))
    data = np.random.default_rng(0).normal(size=(8, 256)).astype("float32")
    qat(data, training=True)
    file = ek.convert(qat, "int8")["int8"]
    assert ek.inspect(file).float_islands == []
    inputs = np.linspace(-1.2, 1.2, 256, dtype="float32")[None]
    np.testing.assert_allclose(
        file.predict(inputs, kernels="xnnpack"), qat.predict(inputs, verbose=0), atol=1e-4
    )

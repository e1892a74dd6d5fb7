import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters import ConversionError


@pytest.fixture(scope="module")
def found():
    """A net whose second convolution mixes weights of very different size per channel."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="calm")(image)
    x = layers.Conv2D(32, 3, activation="relu", name="wild")(x)
    x = layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, layers.Dense(4, name="classes")(x))
    kernel, bias = model.get_layer("wild").get_weights()
    kernel[0, 0, 0] *= 8.0  # one weight a channel takes the whole grid
    model.get_layer("wild").set_weights([kernel, bias])
    x = np.random.default_rng(0).random((100, 8, 8, 3)).astype("float32")
    return model, x, ek.sensitivity(model, x)


def test_the_op_that_suffers_comes_first(found):
    _, _, report = found
    assert "wild" in report.ops[0].name
    assert report.ops[0].decibel(4) < report.ops[0].decibel(8) - 15
    assert [op.op for op in report.ops if op.weights].count("CONV_2D") == 2
    assert all(8 in op.noise for op in report.ops)
    assert report.ops[0].weights == 3 * 3 * 16 * 32


def test_damage_is_that_of_the_op_alone(found):
    model, x, report = found
    floats = {op.index: 0 for op in report.ops}
    from converters import Flatbuffer
    from converters.integer import quantize

    worst = report.ops[0]
    alone = quantize(
        report.content, report.ranges, weight_bits={**floats, worst.index: 4}, edges="float32"
    )
    dtypes = ek.inspect(Flatbuffer(alone)).op_dtypes
    assert dtypes["int8"] == 1
    expected = model.predict(x[:64], verbose=0)
    error = Flatbuffer(alone).predict(x[:64]) - expected
    noise = np.sum(error**2) / np.sum(expected**2)
    np.testing.assert_allclose(worst.noise[4], noise, rtol=0.01)


def test_bytes_are_kept_and_spent_where_it_matters(found):
    _, x, report = found
    all_4, all_8 = (ek.mixed_precision(report, x, max_bytes=b).file.size for b in (6_000, 90_000))
    budget = (all_4 + all_8) // 2
    mixed = ek.mixed_precision(report, x, max_bytes=budget)
    assert mixed.file.size <= budget
    assert set(mixed.bits.values()) == {4, 8}
    assert ek.inspect(mixed.file).weight_dtypes.keys() == {"int4", "int8"}
    assert mixed.file.check.worst[1] > 5
    with pytest.raises(ConversionError, match="no file fits 100 bytes"):
        ek.mixed_precision(report, x, max_bytes=100)


def test_the_program_finds_the_best_choice(found):
    """Against every choice there is."""
    from itertools import product

    from converters.bit_allocation import _Allocator

    _, _, report = found
    allocator = _Allocator(report)
    for spare in (500, 2_500):
        bits = allocator.least_damage(spare)
        chosen = sum(op.noise[bits.get(op.index, 8)] for op in allocator.free)
        every = product(*[((op, 8), (op, 4)) for op in allocator.free])
        fitting = (c for c in every if sum(op.weights // 2 for op, b in c if b == 4) >= spare)
        best = min(sum(op.noise[b] for op, b in choice) for choice in fitting)
        np.testing.assert_allclose(chosen, best)


def test_an_accuracy_is_kept(found):
    model, x, report = found
    mixed = ek.mixed_precision(report, x, max_drop=0.1)
    answers = model.predict(x, verbose=0).argmax(1)
    agreed = np.mean(mixed.file.predict(x).argmax(1) == answers)
    assert mixed.float_accuracy == 1.0
    np.testing.assert_allclose(mixed.accuracy, agreed)
    assert agreed >= 0.9
    assert mixed.file.size < ek.mixed_precision(report, x, max_bytes=90_000).file.size


def test_bad_budgets(found):
    _, x, report = found
    with pytest.raises(ValueError, match="give one of `max_bytes` and `max_drop`"):
        ek.mixed_precision(report, x)
    with pytest.raises(ValueError, match="a share: 0.01 is one point"):
        ek.mixed_precision(report, x, max_drop=2)
    with pytest.raises(ValueError, match="one class for each of the 100 samples"):
        ek.mixed_precision(report, x, max_drop=0.1, labels=np.zeros(7))
    with pytest.raises(ValueError, match=r"`bits` must be out of \(8, 4\)"):
        ek.sensitivity(found[0], x, bits=3)


def test_recurrent_layers_are_unrolled_and_noted():
    model = keras.Sequential([keras.Input((5, 3)), layers.LSTM(8, name="memory"), layers.Dense(2)])
    x = np.random.default_rng(0).normal(size=(16, 5, 3)).astype("float32")
    file = ek.convert(model, "int8", calibration=x)["int8"]
    assert file.check.notes[0].startswith("unrolled memory into one copy of the cell per step")
    assert any(op.op == "FULLY_CONNECTED" for op in ek.sensitivity(model, x, bits=8).ops)

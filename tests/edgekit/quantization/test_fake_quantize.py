import keras
import numpy as np
import pytest

from edgekit.quantization import FakeQuantize


def test_range_starts_from_the_first_batch_then_follows():
    """TFMOT starts at ±6 and needs thousands of steps (its fault 7)."""
    layer = FakeQuantize()
    layer(np.array([0.0, 1.0], "float32"), training=True)
    assert (float(layer.range_min.value), float(layer.range_max.value)) == (0, 1)
    layer(np.array([-1.0, 3.0], "float32"), training=True)
    assert float(layer.range_min.value) == pytest.approx(-0.01)
    assert float(layer.range_max.value) == pytest.approx(1.02)


def test_inference_and_unobserved_calls_leave_the_range_alone():
    layer = FakeQuantize()
    layer(np.array([0.0, 1.0], "float32"), training=True)
    layer(np.array([0.0, 9.0], "float32"))
    layer(np.array([0.0, 9.0], "float32"), observe=False, training=True)
    assert float(layer.range_max.value) == 1


def test_rounds_to_256_values_with_zero_among_them():
    layer = FakeQuantize()
    x = np.random.default_rng(0).uniform(-0.3, 1, 5000).astype("float32")
    y = np.asarray(layer(x, training=True))
    assert len(np.unique(y)) <= 256
    assert np.abs(y - x).max() <= 1.3 / 255
    assert np.asarray(layer(np.zeros(1, "float32")))[0] == 0


def test_before_any_data_each_input_is_rounded_over_its_own_range():
    layer = FakeQuantize()
    assert layer.built is False
    x = np.linspace(0, 100, 50).astype("float32")
    np.testing.assert_allclose(np.asarray(layer(x)), x, atol=0.2)
    assert not layer.calibrated
    layer(x, training=True)
    assert layer.calibrated


def test_a_graph_traced_before_training_follows_the_range_afterwards():
    model = keras.Sequential([keras.Input((2,)), FakeQuantize()])
    x = np.array([[0.0, 10.0]], "float32")
    assert model.predict(x, verbose=0)[0, 1] == pytest.approx(10)  # traced now, without a range
    model(np.array([[0.0, 1.0]], "float32"), training=True)
    assert model.predict(x, verbose=0)[0, 1] == pytest.approx(1)


def test_fixed_range_has_no_state():
    layer = FakeQuantize(fixed_range=(0.0, 255 / 256))
    y = np.asarray(layer(np.array([0.5, 2.0], "float32"), training=True))
    np.testing.assert_array_equal(y, [0.5, 255 / 256])
    assert layer.weights == []
    assert layer.calibrated


def test_constant_and_zero_inputs():
    for value in (0.0, 5.0, -5.0):
        layer = FakeQuantize()
        y = np.asarray(layer(np.full(4, value, "float32"), training=True))
        np.testing.assert_allclose(y, value, atol=1e-4)


def test_config_round_trip():
    layer = FakeQuantize(16, (0.0, 1.0), estimator="percentile", percentile=99, name="f")
    again = FakeQuantize.from_config(layer.get_config())
    assert again.get_config() == layer.get_config()


def test_minmax_keeps_the_widest_range():
    layer = FakeQuantize(estimator="minmax")
    for batch in ([0.0, 1.0], [-3.0, 0.5], [0.0, 0.1]):
        layer(np.array(batch, "float32"), training=True)
    assert (float(layer.range_min.value), float(layer.range_max.value)) == (-3, 1)


def test_percentile_leaves_outliers_out():
    layer = FakeQuantize(estimator="percentile", percentile=99)
    x = np.random.default_rng(0).uniform(0, 1, (16, 1000)).astype("float32")
    x[0, :3] = 1000
    layer(x, training=True)
    assert 0.9 < float(layer.range_max.value) < 1.01


def test_symmetric_and_16_bits_have_zero_in_the_middle():
    x = np.array([-0.5, 2.0], "float32")
    for layer, half in ((FakeQuantize(symmetric=True), 128), (FakeQuantize(16), 32768)):
        layer(x, training=True)
        low, high = float(layer.range_min.value), float(layer.range_max.value)
        assert high == pytest.approx(2.0)
        assert low == pytest.approx(-2.0 * half / (half - 1))
        assert np.asarray(layer(np.zeros(1, "float32")))[0] == 0
    assert np.abs(np.asarray(layer(x)) - x).max() < 2 / 32767


def test_a_large_batch_is_followed_on_a_part_of_it():
    layer = FakeQuantize()
    x = np.zeros((64, 3), "float32")
    x[1] = 9  # not among every fourth sample
    x[4] = 1
    layer(x, training=True)
    assert float(layer.range_max.value) == 1


def test_lsq_learns_the_step_that_serves_the_loss():
    """An outlier stretches the first range; learning gives it up for a finer step."""
    x = np.random.default_rng(0).normal(size=(4096, 8)).astype("float32")
    x[0, 0] = 20
    layer = FakeQuantize(estimator="lsq")
    model = keras.Sequential([keras.Input((8,)), layer])
    model(x, training=True)
    start = float(layer.start.value)
    model.compile(keras.optimizers.Adam(0.02), "mae")
    model.fit(x, x, epochs=60, batch_size=4096, verbose=0)
    low, high = (float(v) for v in layer._range())
    assert (high - low) / 255 < 0.8 * start
    np.testing.assert_allclose(
        np.asarray(model(x, training=True)), model.predict(x, verbose=0), atol=1e-4
    )


def test_frozen_and_switched_off():
    layer = FakeQuantize()
    layer(np.array([0.0, 1.0], "float32"), training=True)
    layer.frozen = True
    layer(np.array([0.0, 9.0], "float32"), training=True)
    assert float(layer.range_max.value) == 1
    layer.frozen, layer.delayed = False, True
    x = np.array([0.123456], "float32")
    assert np.asarray(layer(x, training=True))[0] == x[0]
    assert np.asarray(layer(x))[0] != x[0]

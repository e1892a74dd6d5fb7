import keras
import numpy as np
import pytest
import tensorflow as tf

from edgekit.quantization import FakeQuantize
from edgekit.quantization.call_sites import at_site
from edgekit.quantization.range_estimators import STATE_OF_RECENT, follow_recent, recent_range


def ends(layer):
    return tuple(float(end) for end in layer._range())


def test_range_starts_from_the_first_batch_then_follows():
    """TFMOT starts at ±6 and needs thousands of steps (its fault 7)."""
    layer = FakeQuantize(estimator="ema")
    layer(np.array([0.0, 1.0], "float32"), training=True)
    assert (float(layer.range_min.value), float(layer.range_max.value)) == (0, 1)
    layer(np.array([-1.0, 3.0], "float32"), training=True)
    assert float(layer.range_min.value) == pytest.approx(-0.01)
    assert float(layer.range_max.value) == pytest.approx(1.02)


def test_inference_and_unobserved_calls_leave_the_range_alone():
    layer = FakeQuantize(estimator="ema")
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
    assert model.predict(x, verbose=0)[0, 1] == pytest.approx(
        10, rel=1e-4
    )  # traced now, without a range
    model(np.array([[0.0, 1.0]], "float32"), training=True)
    assert model.predict(x, verbose=0)[0, 1] == pytest.approx(1, rel=1e-4)


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
        low, high = ends(layer)
        assert high == pytest.approx(2.0)
        assert low == pytest.approx(-2.0 * half / (half - 1))
        assert np.asarray(layer(np.zeros(1, "float32")))[0] == 0
    assert np.abs(np.asarray(layer(x)) - x).max() < 2 / 32767


@pytest.mark.parametrize("estimator", ["recent", "ema", "minmax", "lsq"])
def test_every_sample_of_a_batch_counts(estimator):
    layer = FakeQuantize(estimator=estimator)
    x = np.zeros((64, 3), "float32")
    x[1] = 9
    layer(x, training=True)
    assert ends(layer)[1] == pytest.approx(9)


def follow(highs):
    """The upper end of the range after each of some batches."""
    highs = tf.constant(highs, "float32")
    states = tf.scan(
        lambda state, high: follow_recent(state, tf.constant(0.0), high),
        highs,
        tf.zeros(STATE_OF_RECENT),
    )
    return [float(high) for high in np.asarray(recent_range(tf.transpose(states))[1])]


def test_recent_keeps_what_a_calibration_would_keep():
    """Rare large values stay inside, as with the smallest and largest of all data."""
    highs = np.random.default_rng(0).standard_cauchy(200).__abs__() + 0.1
    highs[3] = 50
    np.testing.assert_allclose(follow(highs), np.maximum.accumulate(highs.astype("float32")))


def test_recent_forgets_what_training_leaves_behind():
    found = follow([10.0] * 20 + [1.0] * 60)
    assert found[20] == 10
    assert found[-1] == 1  # once a window of smaller batches is full
    growing = follow(np.linspace(1, 2, 60))
    np.testing.assert_allclose(growing, np.linspace(1, 2, 60), rtol=1e-6)


def test_recent_forgets_a_step_that_went_wrong():
    """One huge batch among others that vary is no drift; 256 later ones say it was a mistake."""
    highs = np.random.default_rng(0).uniform(0.2, 1, 520)
    highs[70] = 1000
    found = follow(highs)
    assert found[255] == 1000
    assert found[-1] <= 1


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("estimator", ["recent", "minmax", "ema", "percentile", "lsq"])
def test_a_batch_that_is_not_finite_does_not_count(estimator, bad):
    batches = [np.array([-1.0, 0.5, 2.0], "float32"), np.array([-2.0, 0.1, 1.0], "float32")]
    broken = np.array([1.0, bad, 9.0], "float32")
    sound, layer = FakeQuantize(estimator=estimator), FakeQuantize(estimator=estimator)
    layer(broken, training=True)
    assert not layer.calibrated
    for batch in batches:
        sound(batch, training=True)
        layer(batch, training=True)
        layer(broken, training=True)
    assert layer.calibrated
    np.testing.assert_allclose(ends(layer), ends(sound))


def test_recent_does_not_count_what_is_not_finite():
    assert follow([1.0, np.nan, 2.0, np.inf, 1.0]) == [1, 1, 2, 2, 2]


def test_each_site_has_a_range_of_its_own():
    layer = FakeQuantize(sites=2)
    for site, high in ((0, 1.0), (1, 8.0)):
        with at_site(site):
            layer(np.array([0.0, high], "float32"), training=True)
    for site, high in ((0, 1.0), (1, 8.0)):
        with at_site(site):
            assert np.asarray(layer(np.array([100.0], "float32")))[0] == pytest.approx(
                high, rel=1e-4
            )


@pytest.mark.parametrize(
    ("estimator", "expected"),
    [("recent", [1, 1, 1]), ("minmax", [1, 1, 1]), ("ema", [1, 1, 0]), ("percentile", [1, 1, 0])],
)
def test_what_is_clipped_has_no_gradient(estimator, expected):
    """Jacob et al. 2018; where the range holds the batch, nothing is clipped."""
    layer = FakeQuantize(estimator=estimator)
    layer(np.array([-1.0, 0.5, 1.0], "float32"), training=True)
    x = tf.constant([-0.5, 0.5, 3.0])
    with tf.GradientTape() as tape:
        tape.watch(x)
        y = tf.reduce_sum(layer(x, training=True))
    np.testing.assert_array_equal(tape.gradient(y, x), expected)


def test_a_learned_step_starts_from_all_first_batches():
    layer = FakeQuantize(estimator="lsq")
    for high in (1.0, 5.0, 2.0):
        layer(np.array([-1.0, high], "float32"), training=True)
    np.testing.assert_allclose(ends(layer), (-1, 5), atol=6 / 255)
    for _ in range(256):
        layer(np.array([-1.0, 5.0], "float32"), training=True)
    layer(np.array([-1.0, 50.0], "float32"), training=True)
    np.testing.assert_allclose(ends(layer), (-1, 5), atol=6 / 255)


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
    low, high = ends(layer)
    assert (high - low) / 255 < 0.8 * start
    np.testing.assert_allclose(
        np.asarray(model(x, training=True)), model.predict(x, verbose=0), atol=1e-4
    )


def test_frozen_and_switched_off():
    layer = FakeQuantize()
    layer(np.array([0.0, 1.0], "float32"), training=True)
    layer.frozen = True
    layer(np.array([0.0, 9.0], "float32"), training=True)
    assert ends(layer)[1] == 1
    layer.frozen, layer.delayed = False, True
    x = np.array([0.123456], "float32")
    assert np.asarray(layer(x, training=True))[0] == x[0]
    assert np.asarray(layer(x))[0] != x[0]


def test_a_range_is_few_operations_of_a_train_step():
    """Each costs time before the first step, in every layer."""
    layer = FakeQuantize()
    layer.build((None, 8))
    x = tf.TensorSpec((4, 8))
    step = tf.function(lambda x: layer(x, training=True)).get_concrete_function(x)
    assert len(step.graph.get_operations()) <= 12

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from converters.calibration import ESTIMATORS, check_estimator


def follow(name, values, batch=16):
    estimator = ESTIMATORS[name]()
    for start in range(0, len(values), batch):
        estimator.update(values[start : start + batch])
    return estimator.range()


@pytest.mark.parametrize("name", list(ESTIMATORS))
@settings(max_examples=25)
@given(seed=st.integers(0, 1000), scale=st.floats(1e-3, 1e3), shift=st.floats(-3, 3))
def test_ranges_lie_in_the_data(name, seed, scale, shift):
    values = np.random.default_rng(seed).normal(shift, 1, (64, 50)).astype("float32") * scale
    low, high = follow(name, values.astype("float32"))
    slack = 1e-3 * np.ptp(values)
    assert min(values.min(), 0) - slack <= low < high <= max(values.max(), 0) + slack


@pytest.mark.parametrize("name", ["minmax", "percentile", "mse", "entropy"])
def test_growing_values_are_counted_right(name):
    """A histogram that widens holds what one made at once holds."""
    values = np.sort(np.random.default_rng(0).normal(size=(640, 20)).astype("float32"), axis=0)
    low, high = follow(name, values)
    at_once = follow(name, values, batch=640)
    np.testing.assert_allclose((low, high), at_once, rtol=0.05)


def test_percentile_drops_one_in_ten_thousand():
    values = np.random.default_rng(0).laplace(size=(100, 2000)).astype("float32")
    found = follow("percentile", values)
    wanted = np.percentile(values, [0.005, 99.995])
    bin_width = 4 * np.abs(values).max() / 2048
    np.testing.assert_allclose(found, wanted, atol=2 * bin_width)
    assert values.min() < found[0] < found[1] < values.max()


def test_mse_cuts_a_long_tail():
    values = np.random.default_rng(0).laplace(size=(256, 200)).astype("float32")
    full, cut = follow("minmax", values), follow("mse", values)
    step = (cut[1] - cut[0]) / 255
    rounded = np.clip(np.round(values / step) * step, *cut)
    full_step = (full[1] - full[0]) / 255
    whole = np.round(values / full_step) * full_step
    assert np.mean((rounded - values) ** 2) <= np.mean((whole - values) ** 2)


def test_a_tensor_of_zeros():
    for name in ESTIMATORS:
        assert follow(name, np.zeros((32, 4), "float32")) == (0.0, 0.0)


def test_names_are_checked():
    check_estimator({"conv": "mse"})
    for wrong in ("median", {}, {"conv": "median"}, None, 3):
        with pytest.raises(ValueError, match="`estimator` must be one of minmax"):
            check_estimator(wrong)

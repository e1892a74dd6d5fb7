import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from device_bench.statistics import Ratio, median_interval, outliers, ratio_of

times = st.lists(st.floats(0.01, 100), min_size=1, max_size=12)


@given(times)
def test_interval_holds_the_median_and_lies_within_the_data(values):
    low, high = median_interval(values)
    assert min(values) <= low <= np.median(values) <= high <= max(values)


def test_same_values_same_interval():
    assert median_interval([1, 2, 3, 4]) == median_interval([1, 2, 3, 4])
    assert median_interval([2.0]) == (2.0, 2.0)


def test_interval_covers_the_true_median_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(300):
        low, high = median_interval(rng.normal(10, 1, 21))
        covered += low <= 10 <= high
    assert 0.88 <= covered / 300 <= 0.99


def test_ratio_is_paired():
    """A slow minute hits both models of a round, and cancels."""
    reference = np.array([1.0, 5.0, 1.2, 0.9, 3.0])
    ratio = ratio_of(2 * reference, reference)
    np.testing.assert_allclose([ratio.value, ratio.low, ratio.high], 2.0)
    assert ratio.pairs == 5


@given(times)
def test_a_thing_is_as_fast_as_itself(values):
    ratio = ratio_of(values, values)
    assert (ratio.value, ratio.low, ratio.high, ratio.p) == (1, 1, 1, 1)
    assert ratio.verdict() == ("no difference" if len(values) > 5 else "too few processes")


@pytest.mark.parametrize(("factor", "verdict"), [(1.2, "slower"), (1 / 1.2, "faster")])
def test_the_verdict_turns_with_the_ratio(factor, verdict):
    values = np.exp(0.01 * np.random.default_rng(0).normal(size=8))
    assert ratio_of(factor * values, np.ones(8)).verdict() == verdict


@pytest.mark.parametrize(
    ("ratio", "floor", "verdict"),
    [
        (Ratio(1.1, 1.05, 1.2, 0.01, 8), 0.0, "slower"),
        (Ratio(0.7, 0.5, 0.9, 0.01, 8), 0.0, "faster"),
        (Ratio(1.1, 0.98, 1.3, 0.01, 8), 0.0, "unclear"),
        (Ratio(1.005, 1.001, 1.009, 0.01, 8), 0.0, "no difference"),
        (Ratio(1.0, 0.96, 1.04, 0.9, 8), 0.0, "no difference"),
        (Ratio(1.0, 0.94, 1.04, 0.9, 8), 0.0, "unclear"),
        (Ratio(1.0, 0.94, 1.04, 0.9, 8), 0.08, "no difference"),
        (Ratio(1.1, 1.05, 1.2, 0.2, 8), 0.0, "unclear"),
        (Ratio(1.1, 1.05, 1.2, 0.01, 8), 0.06, "unclear"),
        (Ratio(1.1, 1.05, 1.2, 0.06, 5), 0.0, "too few processes"),
        (Ratio(1.0, 0.7, 1.9, 1.0, 3), 0.0, "too few processes"),
    ],
)
def test_verdicts(ratio, floor, verdict):
    assert ratio.verdict(floor) == verdict


def test_equal_things_are_called_different_in_less_than_one_of_twenty():
    rng = np.random.default_rng(0)
    said = 0
    for _ in range(400):
        one, other = np.exp(0.05 * rng.standard_t(3, (2, 8)))
        said += ratio_of(one, other).verdict() in ("slower", "faster")
    assert said / 400 < 0.05


def test_a_difference_of_a_tenth_is_found():
    rng = np.random.default_rng(0)
    found = 0
    for _ in range(50):
        one, other = np.exp(0.02 * rng.normal(size=(2, 8)))
        found += ratio_of(1.1 * one, other).verdict() == "slower"
    assert found >= 48


def test_outliers_are_far_above_the_median():
    assert outliers([10, 11, 9, 10, 12, 100, 1]) == 1
    assert outliers([5, 5, 5]) == 0

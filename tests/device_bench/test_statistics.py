import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from device_bench.statistics import differs, median_interval, ratio_interval

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
    ratio, low, high = ratio_interval(2 * reference, reference)
    np.testing.assert_allclose([ratio, low, high], 2.0)


def test_a_difference_is_said_only_beyond_one_percent():
    assert differs(1.05, 1.2)
    assert differs(0.5, 0.9)
    assert not differs(0.98, 1.3)
    assert not differs(1.001, 1.009)

import numpy as np
import pytest

from converters.signal_to_noise import decibel, noise_to_signal, signal_to_noise

ONES = np.ones(4, "float32")


@pytest.mark.parametrize(
    ("expected", "found", "ratio"),
    [
        (ONES, ONES * 1.1, 20.0),  # 1 / 0.1² = 100
        (ONES, ONES, np.inf),
        (np.zeros(4), np.zeros(4), np.inf),
        (np.zeros(4), ONES, -np.inf),  # noise without a signal
        (ONES, np.zeros(4), 0.0),
        (ONES, [1, 1, np.nan, 1], -np.inf),
        (ONES, [1, 1, np.inf, 1], -np.inf),
        ([1, np.nan, np.inf, 1], [1, 5, 5, 1.1], 10 * np.log10(2 / 0.01)),  # as far as comparable
        ([1, np.nan], [1, np.nan], np.inf),
        ([np.nan], [1.0], np.inf),
        (np.zeros((0, 3)), np.zeros((0, 3)), np.inf),
        (np.full(4, 1e200), np.full(4, 1.1e200), 20.0),  # the squares are beyond float64
        (np.full(4, 1e-200), np.full(4, 1.1e-200), 20.0),
        (np.array([3, 4]), np.array([3, 5]), 10 * np.log10(25)),
        (np.array([True, False]), np.array([True, False]), np.inf),
    ],
)
def test_every_pair_of_values_has_a_ratio(expected, found, ratio):
    value = signal_to_noise(np.asarray(expected), np.asarray(found))
    assert value == pytest.approx(ratio, abs=1e-4)


def test_shares_of_noise_add_up():
    share = noise_to_signal(ONES, ONES * 1.1)
    assert share == pytest.approx(0.01, rel=1e-5)
    assert decibel(2 * share) == pytest.approx(20 - 10 * np.log10(2), abs=1e-4)
    assert decibel(0.0) == np.inf
    assert decibel(np.inf) == -np.inf

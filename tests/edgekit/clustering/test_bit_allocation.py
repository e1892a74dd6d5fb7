import itertools

import numpy as np
import pytest

from edgekit.clustering.bit_allocation import Choice, allocate, choice
from edgekit.clustering.clusters import cluster


def test_damage_is_the_second_order_change_of_the_loss():
    weights = np.array([0.0, 1.0, 4.0, 5.0], "float32")
    found = choice(
        cluster(weights, 2, keep_zeros=False), weights, np.array([1.0, 1.0, 2.0, 0.0]), 1
    )
    assert found.damage == pytest.approx((1 * 0.25 + 1 * 0.25 + 2 * 0.25) / 2)
    assert found.bytes == pytest.approx(4 * 1 / 8 + 2 * 4)


def test_it_is_as_good_as_the_best_on_the_hull():
    rng = np.random.default_rng(0)
    for _ in range(20):
        choices = [
            [Choice(bits, 100 * size * bits, size * damage * 4.0**-bits) for bits in range(1, 5)]
            for size, damage in zip(rng.integers(1, 9, 3), rng.random(3), strict=True)
        ]
        budget = 1.7 * sum(found[0].bytes for found in choices)
        got = allocate(choices, budget)
        assert sum(c.bytes for c in got) <= budget
        fitting = [
            combination
            for combination in itertools.product(*choices)
            if sum(c.bytes for c in combination) <= budget
        ]
        best = min(sum(c.damage for c in combination) for combination in fitting)
        # Greedy on the hull: at most one step of one kernel worse.
        largest = max(found[0].damage for found in choices)
        assert sum(c.damage for c in got) <= best + largest


def test_a_budget_below_the_least_is_refused_with_the_least():
    with pytest.raises(ValueError, match="at least 300"):
        allocate([[Choice(1, 100, 1.0)], [Choice(1, 200, 1.0)]], 250)

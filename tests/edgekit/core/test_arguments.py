"""`True` is no number, wherever an argument of the techniques is one."""

import numpy as np
import pytest

import edgekit as ek
from edgekit.core.arguments import check_whole, is_number, is_whole


def test_whole_numbers_and_numbers():
    assert all(map(is_whole, (3, np.int64(3))))
    assert not any(map(is_whole, (3.0, True)))
    assert all(map(is_number, (0.5, np.float32(0.5), 2)))
    assert not any(map(is_number, (True, np.True_, "1", None)))
    with pytest.raises(ValueError, match=r"`every` must be a whole number ≥ 2. Received: every=1"):
        check_whole("every", 1, least=2)


@pytest.mark.parametrize(
    "make",
    [
        lambda: ek.schedules.Polynomial(every=True),
        lambda: ek.schedules.Polynomial(power=True),
        lambda: ek.schedules.Polynomial(begin=True),
        lambda: ek.schedules.Cosine(initial=False),
        lambda: ek.schedules.OneCycle(alpha=True),
        lambda: ek.schedules.OneCycle(beta=True),
        lambda: ek.schedules.Iterative(rounds=True),
        lambda: ek.GradualPruning(False),
        lambda: ek.GradualPruning(granularity=(True, 4)),
        lambda: ek.granularities.Block(True, 4),
        lambda: ek.criteria.Magnitude(True),
        lambda: ek.criteria.Random(True),
        lambda: ek.LotteryTicket(0.5, rounds=True),
        lambda: ek.LotteryTicket(0.5, rewind_to=True),
        lambda: ek.DynamicSparsity(0.5, every=True),
        lambda: ek.DynamicSparsity(0.5, share=True),
        lambda: ek.DynamicSparsity(0.5, seed=True),
        lambda: ek.WeightClustering(True),
        lambda: ek.WeightClustering(bits=True),
        lambda: ek.WeightClustering(4, granularity=True),
        lambda: ek.WeightClustering(4, refresh=True),
        lambda: ek.WeightClustering(4, begin=True),
        lambda: ek.WeightClustering(4, seed=True),
    ],
)
def test_true_is_refused(make):
    with pytest.raises((TypeError, ValueError), match="Received"):
        make()

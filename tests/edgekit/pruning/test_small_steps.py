import keras
import numpy as np
import pytest
from keras import layers

from edgekit.pruning.pruner import Pruner


def bound(values, policy="float32"):
    model = keras.Sequential(
        [keras.Input((40,)), layers.Dense(30, name="a"), layers.Dense(5, name="b")]
    )
    for layer in model.layers:
        layer.kernel.assign(values(tuple(layer.kernel.shape)))
    found = Pruner(0.9, "weight", "magnitude", "layer", None, None).bind(model)
    found.hold(None)
    return found


def ties(shape):
    return np.random.default_rng(0).integers(-3, 4, shape)


def normal(shape):
    return np.random.default_rng(0).normal(size=shape)


def gone_wrong(shape):
    """Weights of a training that went wrong: most are no numbers."""
    chance = np.random.default_rng(0).random(shape)
    return np.where(chance < 0.7, np.nan, np.where(chance < 0.75, np.inf, normal(shape)))


@pytest.mark.parametrize("values", [normal, ties, gone_wrong])
def test_few_at_a_time_are_those_that_ranking_all_would_take(values, monkeypatch):
    few, all_at_once = bound(values), bound(values)
    monkeypatch.setattr(all_at_once._small_steps, "are_few", lambda counts: False)
    taken = []
    drop = few._small_steps.drop
    monkeypatch.setattr(few._small_steps, "drop", lambda n: taken.append(n.sum()) or drop(n))
    for share in (0.03, 0.05, 0.05, 0.3, 0.301, 0.35, 0.9):
        for pruner in (few, all_at_once):
            pruner.prune(lambda _, share=share: share)
        for one, other in zip(few.held, all_at_once.held, strict=True):
            np.testing.assert_array_equal(one, other)
        np.testing.assert_array_equal(few.shares_gone, all_at_once.shares_gone)
        assert few.sparsity == pytest.approx(share, abs=0.003)
        for variable, mask in zip(few.variables, few.held, strict=True):
            assert not np.asarray(variable)[~mask].any()
    assert len(taken) == 5  # the great leaps, to 0.3 and 0.9, went the other way


def test_a_fall_of_sparsity_is_no_small_step():
    pruner = bound(normal)
    pruner.prune(lambda _: 0.5)
    pruner.prune(lambda _: 0.0)
    assert all(mask.all() for mask in pruner.held)

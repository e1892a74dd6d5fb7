import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.pruning.masks import global_magnitude_masks, magnitude_mask

# Few distinct values, so that ties are the rule.
tensors = hnp.arrays(
    np.float32, hnp.array_shapes(max_dims=4, max_side=6), elements=st.integers(-2, 2)
)
shares = st.floats(0, 1)


@given(tensors, shares)
def test_count_is_exact_in_spite_of_ties(weights, sparsity):
    mask = magnitude_mask(weights, sparsity)
    assert mask.shape == weights.shape
    assert np.sum(~mask) == round(sparsity * weights.size)


@given(tensors, shares)
def test_what_goes_is_no_larger_than_what_stays(weights, sparsity):
    mask = magnitude_mask(weights, sparsity)
    size = np.abs(weights)
    if mask.any() and not mask.all():
        assert size[~mask].max() <= size[mask].min()


@given(tensors, shares)
def test_pruning_twice_is_pruning_once(weights, sparsity):
    once = np.where(magnitude_mask(weights, sparsity), weights, 0)
    twice = np.where(magnitude_mask(once, sparsity), once, 0)
    np.testing.assert_array_equal(once, twice)


@given(st.lists(tensors, min_size=1, max_size=4), shares)
def test_global_count_is_exact_and_the_ranking_is_one(weights, sparsity):
    masks = global_magnitude_masks(weights, sparsity)
    assert [m.shape for m in masks] == [w.shape for w in weights]
    keep = np.concatenate([m.ravel() for m in masks])
    size = np.abs(np.concatenate([w.ravel() for w in weights]))
    assert np.sum(~keep) == round(sparsity * size.size)
    if keep.any() and not keep.all():
        assert size[~keep].max() <= size[keep].min()


def test_five_valued_weights_reach_half():
    """TFMOT's threshold test gives 0.21 here (its fault 11)."""
    weights = np.tile(np.float32([-2, -1, 0, 1, 2]), 200)
    assert np.mean(~magnitude_mask(weights, 0.5)) == 0.5

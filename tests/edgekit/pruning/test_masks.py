import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgekit.pruning.masks import keep_highest, keep_highest_by_size

# Few distinct values, so that ties are the rule.
scores = hnp.arrays(
    np.float32,
    hnp.array_shapes(max_dims=4, max_side=6),
    elements=st.one_of(st.integers(-2, 2), st.sampled_from([-np.inf, np.inf])),
)
shares = st.floats(0, 1)


@given(scores, shares)
def test_count_is_exact_in_spite_of_ties(values, share):
    drop = round(share * values.size)
    keep = keep_highest(values, drop)
    assert keep.shape == values.shape
    assert np.sum(~keep) == drop


@given(scores, shares)
def test_what_goes_is_no_higher_than_what_stays(values, share):
    keep = keep_highest(values, round(share * values.size))
    if keep.any() and not keep.all():
        assert values[~keep].max() <= values[keep].min()


@given(scores, shares)
def test_pruning_twice_is_pruning_once(values, share):
    drop = round(share * values.size)
    weights = np.nan_to_num(values)
    once = np.where(keep_highest(np.abs(weights), drop), weights, 0)
    twice = np.where(keep_highest(np.abs(once), drop), once, 0)
    assert np.sum(twice == 0) == np.sum(once == 0)


def test_what_is_not_a_number_stays():
    values = np.float32([np.nan, 1, 2, np.nan, 3])
    assert keep_highest(values, 3).tolist() == [True, False, False, True, False]
    assert np.sum(~keep_highest(values, 4)) == 4


def test_five_valued_weights_reach_half():
    """TFMOT's threshold test gives 0.21 here (its fault 11)."""
    weights = np.tile(np.float32([-2, -1, 0, 1, 2]), 200)
    assert np.mean(~keep_highest(np.abs(weights), 500)) == 0.5


@given(scores, st.data())
def test_groups_of_any_size_come_as_near_as_they_can(values, data):
    sizes = data.draw(hnp.arrays(np.int64, values.shape, elements=st.integers(1, 9)))
    drop = data.draw(st.floats(0, float(sizes.sum())))
    keep = keep_highest_by_size(values, sizes, drop)
    gone = sizes[~keep].sum()
    order = np.argsort(values, axis=None, kind="stable")
    possible = np.concatenate([[0], np.cumsum(sizes.ravel()[order])])
    assert abs(gone - drop) == np.min(np.abs(possible - drop))
    if keep.any() and not keep.all():
        assert values[~keep].max() <= values[keep].min()


def test_one_group_may_have_to_stay():
    keep = keep_highest_by_size(np.float32([1, 2]), np.array([3, 3]), 6, least=1)
    assert keep.tolist() == [False, True]

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.core.kernel_axes import KernelAxes
from edgekit.pruning.granularities import NM, Block, Vector, as_granularity

CONV = KernelAxes(spatial=(0, 1), inputs=(2,), outputs=(3,))
DENSE = KernelAxes(spatial=(), inputs=(0,), outputs=(1,))


def groups_of(name, shape, axes):
    """Which weights hang together, found by choosing one group after the other."""
    granularity = as_granularity(name)
    scores = np.random.default_rng(0).random(shape)
    ranks = granularity.rank(scores, np.ones(shape, bool), axes)
    found = []
    for index in np.ndindex(ranks.shape):
        chosen = np.zeros(ranks.shape, bool)
        chosen[index] = True
        found.append(granularity.expand(chosen, shape, axes))
    return found


@pytest.mark.parametrize(
    ("name", "shape", "axes", "example"),
    [
        ("weight", (3, 3, 4, 5), CONV, np.s_[0, 0, 0, 0]),
        ("vector", (3, 2, 4, 5), CONV, np.s_[0, :, 0, 0]),
        (Vector("column"), (3, 2, 4, 5), CONV, np.s_[:, 0, 0, 0]),
        ("vector", (1, 1, 4, 5), CONV, np.s_[0, 0, 0, :]),
        ("vector", (4, 5), DENSE, np.s_[0, :]),
        (Vector("column"), (4, 5), DENSE, np.s_[:, 0]),
        ("kernel", (3, 2, 4, 5), CONV, np.s_[:, :, 0, 0]),
        ("filter", (3, 2, 4, 5), CONV, np.s_[:, :, :, 0]),
        ("filter", (4, 5), DENSE, np.s_[:, 0]),
        ("channel", (3, 2, 4, 5), CONV, np.s_[:, :, 0, :]),
        ("layer", (3, 2, 4, 5), CONV, np.s_[:]),
        (Block(2, 2), (3, 2, 4, 5), CONV, np.s_[0, 0, 0:2, 0:2]),
        (Block(3, 2), (4, 5), DENSE, np.s_[0:3, 0:2]),
    ],
)
def test_groups_partition_the_kernel(name, shape, axes, example):
    found = groups_of(name, shape, axes)
    np.testing.assert_array_equal(np.sum(found, axis=0), 1)
    expected = np.zeros(shape, bool)
    expected[example] = True
    assert any(np.array_equal(group, expected) for group in found)


def test_a_group_is_as_good_as_its_weights_are_on_average():
    scores = np.arange(24.0).reshape(4, 6)
    held = np.ones(scores.shape, bool)
    np.testing.assert_allclose(
        as_granularity("filter").rank(scores, held, DENSE).ravel(), scores.mean(axis=0)
    )
    np.testing.assert_allclose(
        Block(3, 4).rank(scores, held, DENSE),
        [
            [scores[:3, :4].mean(), scores[:3, 4:].mean()],
            [scores[3:, :4].mean(), scores[3, 4:].mean()],
        ],
    )


def test_what_is_gone_comes_last():
    scores, held = np.ones((4, 5)), np.ones((4, 5), bool)
    held[:, 2] = False
    ranks = as_granularity("filter").rank(scores, held, DENSE)
    assert np.isneginf(ranks[0, 2])
    assert np.isfinite(np.delete(ranks, 2)).all()


@given(
    n=st.integers(1, 7),
    m=st.integers(2, 8),
    inputs=st.integers(1, 20),
    outputs=st.integers(1, 4),
    seed=st.integers(0, 99),
    share=st.floats(0, 1),
)
def test_a_pattern_holds_for_every_group(n, m, inputs, outputs, seed, share):
    n = min(n, m - 1)
    pattern = NM(n, m)
    # Few distinct values: ties are the rule.
    scores = np.random.default_rng(seed).integers(0, 3, (inputs, outputs)).astype(float)
    held = np.ones(scores.shape, bool)
    ranks = pattern.rank(scores, held, DENSE)
    at_end = pattern.drop_count(pattern.sparsity, pattern.sparsity, ranks)
    keep = ranks >= np.sort(ranks, axis=None)[at_end]
    for start in range(0, inputs, m):
        rows = keep[start : start + m]
        assert (rows.sum(axis=0) == min(n, len(rows))).all()
    # On the way there fewer are gone, and only such as the pattern will not keep.
    on_the_way = pattern.drop_count(share * pattern.sparsity, pattern.sparsity, ranks)
    assert on_the_way <= at_end
    if inputs % m == 0 and share < 0.999:
        assert on_the_way == min(at_end, round(share * pattern.sparsity * scores.size))


def test_a_pattern_keeps_the_largest_of_neighbours():
    weights = np.float32([[1], [-4], [2], [3], [0.5], [0.1], [0.2], [0.3]])
    ranks = NM(2, 4).rank(np.abs(weights), np.ones(weights.shape, bool), DENSE)
    assert (ranks >= 0).ravel().tolist() == [False, True, False, True, True, False, False, True]


@pytest.mark.parametrize(
    ("value", "error", "match"),
    [
        ("filters", ValueError, "'filter'.*Received: granularity='filters'"),
        ("block", ValueError, r"ek.granularities.Block\(height, width\)"),
        ((4, 2), ValueError, r"1 ≤ n < m. Received: \(4, 2\)"),
        ((2, 4, 1), ValueError, "`granularity` must be one of"),
        (4, TypeError, "`granularity` must be one of"),
    ],
)
def test_unknown_granularities_are_refused(value, error, match):
    with pytest.raises(error, match=match):
        as_granularity(value)


def test_bad_sizes_are_refused():
    with pytest.raises(ValueError, match="`height` must be a whole number ≥ 1. Received: height=0"):
        Block(0, 4)
    with pytest.raises(ValueError, match="`line` must be 'row' or 'column'"):
        Vector("diagonal")

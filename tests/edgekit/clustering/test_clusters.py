import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.clustering.clusters import as_they_are, cluster, reassign
from edgekit.clustering.initializers import INITIALIZERS

weights = arrays(
    "float32", st.tuples(st.integers(1, 6), st.integers(1, 8)), elements=st.floats(-2, 2, width=32)
)

LECTURE = np.array(
    [
        [2.09, -0.98, 1.48, 0.09],
        [0.05, -0.14, -1.08, 2.12],
        [-0.91, 1.92, 0.00, -1.03],
        [1.87, 0.00, 1.53, 1.49],
    ],
    "float32",
)


@pytest.mark.parametrize("init", ["linear", "density"])
@pytest.mark.parametrize("keep_zeros", [True, False])
def test_the_lecture_to_the_digit(init, keep_zeros):
    """Han et al. 2015, Deep Compression, figure 3: codebook, indices, error matrix, size."""
    found = cluster(LECTURE, 4, init, keep_zeros)
    np.testing.assert_array_equal(np.round(found.codebook, 2), [-1.0, 0.0, 1.5, 2.0])
    indices = [[3, 0, 2, 1], [1, 1, 0, 3], [0, 3, 1, 0], [3, 1, 2, 2]]
    np.testing.assert_array_equal(found.indices, indices)
    errors = [
        [0.09, 0.02, 0.02, 0.09],
        [0.05, 0.14, 0.08, 0.12],
        [0.09, 0.08, 0.00, 0.03],
        [0.13, 0.00, 0.03, 0.01],
    ]
    np.testing.assert_array_equal(np.round(np.abs(LECTURE - found.values), 2), np.float32(errors))
    before = LECTURE.nbytes
    after = LECTURE.size * 2 // 8 + found.codebook.nbytes
    assert (before, after, before / after) == (64, 20, 3.2)


@given(weights, st.integers(2, 5), st.sampled_from(list(INITIALIZERS)), st.booleans())
def test_no_more_values_than_asked_for_and_zeros_stay(values, count, init, keep_zeros):
    found = cluster(values, count, init, keep_zeros)
    assert len(np.unique(found.values)) <= count
    assert found.values.shape == values.shape
    if keep_zeros:
        assert (found.values[values == 0] == 0).all()
    assert np.abs(found.values).max() <= np.abs(values).max() + 1e-6


@given(weights, st.integers(2, 5), st.sampled_from(list(INITIALIZERS)))
def test_clustering_again_changes_nothing(values, count, init):
    once = cluster(values, count, init).values
    np.testing.assert_array_equal(cluster(once, count, init).values, once)


@given(weights)
def test_few_distinct_values_stay_as_they_are(values):
    count = max(2, len(np.unique(values)))
    np.testing.assert_array_equal(cluster(values, count).values, values)


def test_groups_have_codebooks_of_their_own():
    values = np.random.default_rng(0).standard_normal((50, 4)).astype("float32")
    values[:, 2:] *= 100
    groups = np.array([[0, 0, 1, 1]])
    found = cluster(values, 4, groups=groups)
    assert len(found.codebook) == 8
    assert set(np.unique(found.indices[:, :2])) == {0, 1, 2, 3}
    assert set(np.unique(found.indices[:, 2:])) == {4, 5, 6, 7}
    apart = [cluster(values[:, :2], 4).values, cluster(values[:, 2:], 4).values]
    np.testing.assert_array_equal(found.values, np.concatenate(apart, axis=1))


def test_binary_is_the_mean_magnitude():
    values = np.array([-1.0, 3.0, 2.0, -2.0], "float32")
    found = cluster(values, "binary")
    np.testing.assert_array_equal(found.values, [-2.0, 2.0, 2.0, -2.0])


def test_ternary_drops_what_is_small():
    values = np.array([-1.0, 0.1, 2.0, -0.3, 0.0], "float32")
    found = cluster(values, "ternary")
    np.testing.assert_array_equal(found.values, np.float32([-1.5, 0, 1.5, 0, 0]))


def test_as_they_are_sees_shared_and_mirrored_values():
    found = as_they_are(np.array([0.5, -0.5, 0.0, -0.0, 0.5], "float32"))
    np.testing.assert_array_equal(found.codebook, [-0.5, 0.0, 0.5])
    np.testing.assert_array_equal(found.mirrors, [2, 1, 0])
    assert as_they_are(np.array([1.0, 2.0, 2.0], "float32")).mirrors is None


def test_weights_join_the_nearest_value_of_their_group():
    values = np.array([[0.0, 10.0], [1.0, 11.0]], "float32")
    found = cluster(values, 2, groups=np.array([[0, 1]]))
    moved = reassign(np.array([[0.9, 0.1], [0.2, 90.0]], "float32"), found)
    np.testing.assert_array_equal(found.codebook[moved], [[1.0, 10.0], [0.0, 11.0]])

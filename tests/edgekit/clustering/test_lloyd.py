import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from edgekit.clustering.initializers import INITIALIZERS
from edgekit.clustering.lloyd import SortedWeights, lloyd

# Mean squared error of the best quantiser of normal values (Max 1960, "Quantizing for minimum
# distortion", table I).
LLOYD_MAX = {8: 0.03454, 16: 0.009497, 32: 0.002499}


@pytest.mark.parametrize("init", INITIALIZERS)
@pytest.mark.parametrize("count", LLOYD_MAX)
def test_normal_weights_come_within_a_hundredth_of_the_optimum(init, count):
    """TFMOT's k-means++ stays 12 to 23 % above (its fault 6)."""
    weights = np.random.default_rng(1).standard_normal(1_000_000).astype("float32")
    weights /= weights.std()
    found = SortedWeights(weights)
    start = INITIALIZERS[init](found, count, np.random.default_rng(0))
    centroids = lloyd(found, start)
    middles = (centroids[1:] + centroids[:-1]) / 2
    errors = weights - centroids[np.searchsorted(middles, weights)]
    assert np.mean(errors**2) < 1.01 * LLOYD_MAX[count]


@given(
    arrays("float32", st.integers(8, 60), elements=st.floats(-4, 4, width=32)),
    st.integers(2, 6),
    st.sampled_from(list(INITIALIZERS)),
)
def test_each_centroid_is_the_mean_of_what_is_nearest_to_it(weights, count, init):
    found = SortedWeights(weights)
    centroids = lloyd(found, INITIALIZERS[init](found, count, np.random.default_rng(0)))
    assert len(centroids) == count
    assert (np.diff(centroids) >= 0).all()
    members = np.searchsorted((centroids[1:] + centroids[:-1]) / 2, weights)
    before = ((weights - centroids[members]) ** 2).sum()
    for number in np.unique(members):
        own = weights[members == number].astype("float64")
        better = ((own - own.mean()) ** 2).sum()
        here = ((own - centroids[number]) ** 2).sum()
        assert here <= better + 1e-5 * max(before, 1.0)


def test_a_centroid_without_members_finds_some():
    weights = SortedWeights(np.array([0.0, 0.1, 5.0, 5.1, 9.0]))
    centroids = lloyd(weights, np.array([-50.0, 2.0, 60.0]))
    np.testing.assert_allclose(centroids, [0.05, 5.05, 9.0], atol=1e-6)


def test_a_huge_weight_takes_nothing_from_the_small_ones():
    small = np.random.default_rng(0).standard_normal(10_000).astype("float32")
    alone = lloyd(SortedWeights(small), np.linspace(-3, 3, 8))
    beside = lloyd(SortedWeights(np.append(small, -1e12)), np.append(-1e12, np.linspace(-3, 3, 8)))
    np.testing.assert_allclose(beside[1:], alone, rtol=1e-6)


def test_zero_stays_where_it_is():
    weights = SortedWeights(np.array([0.1, 0.2, 0.9, 1.1, -1.0]))
    centroids = lloyd(weights, np.array([-1.0, 0.15, 1.0]), zero=True)
    np.testing.assert_allclose(centroids, [-1.0, 0.0, 1.0], atol=1e-6)


def test_density_gives_as_many_as_asked_for():
    """TFMOT's gives 17 distinct values of 32 (its fault 5)."""
    weights = SortedWeights(np.random.default_rng(0).standard_normal(10_000))
    assert len(np.unique(INITIALIZERS["density"](weights, 32, None))) == 32

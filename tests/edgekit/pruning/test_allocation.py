import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.pruning.allocation import erk, uniform

shapes = st.lists(
    st.one_of(
        st.tuples(st.integers(1, 300), st.integers(1, 300)),
        st.tuples(*[st.integers(1, 5)] * 2, st.integers(1, 64), st.integers(1, 64)),
    ),
    min_size=1,
    max_size=6,
)


@given(shapes, st.floats(0, 0.999))
def test_erk_has_the_sparsity_over_all(kernels, sparsity):
    shares = erk(kernels, sparsity)
    sizes = [math.prod(shape) for shape in kernels]
    assert all(-1e-9 <= share <= 1 for share in shares)
    gone = sum(share * size for share, size in zip(shares, sizes, strict=True))
    assert gone == pytest.approx(sparsity * sum(sizes), abs=1e-6 * sum(sizes))


def test_erk_densities_follow_the_formula():
    kernels = [(784, 300), (300, 100), (100, 10)]
    shares = erk(kernels, 0.9)
    raw = [sum(k) / math.prod(k) for k in kernels]
    assert (1 - shares[0]) / (1 - shares[1]) == pytest.approx(raw[0] / raw[1])
    assert shares[2] < shares[1] < shares[0]


def test_uniform_is_uniform():
    assert uniform([(2, 2), (3, 3)], 0.4) == [0.4, 0.4]

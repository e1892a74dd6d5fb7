import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.pruning.schedules import Polynomial


def test_cubic_formula():
    plan = Polynomial(begin=0, end=100, initial=0.2, every=1).plan(200)
    for step in (0, 25, 50, 99):
        expected = 0.9 + (0.2 - 0.9) * (1 - step / 100) ** 3
        assert plan.sparsity(step, 0.9) == pytest.approx(expected)
    assert plan.sparsity(100, 0.9) == 0.9
    assert plan.sparsity(150, 0.9) == 0.9


def test_fractions_become_steps():
    plan = Polynomial(begin=0.1, end=0.75).plan(1000)
    assert (plan.begin, plan.end, plan.every) == (100, 750, 6)


@given(
    total=st.integers(1, 3000),
    begin=st.floats(0, 1),
    end=st.floats(0, 1),
    every=st.one_of(st.none(), st.integers(1, 500)),
)
def test_any_fit_reaches_its_end(total, begin, end, every):
    begin, end = sorted((begin, end))
    plan = Polynomial(begin=begin, end=end, every=every).plan(total)
    assert 0 <= plan.begin <= plan.end < total
    due = [plan.updates_due(step) for step in range(total)]
    assert due == sorted(due)
    # The last update falls on the end itself, so the final sparsity is reached exactly.
    assert due[plan.end] > (due[plan.end - 1] if plan.end else 0)
    assert plan.sparsity(plan.end, 0.8) == 0.8


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 30))
def test_updates_come_one_at_a_time(begin, length, every):
    plan = Polynomial(begin=begin, end=begin + length, every=every).plan(None)
    due = [plan.updates_due(step) for step in range(begin + length + 2)]
    assert max(b - a for a, b in zip(due, due[1:], strict=False)) <= 1
    assert plan.updates_due(begin) == 1


def test_too_short_a_fit_is_refused():
    with pytest.raises(ValueError, match="ends at step 500, but the fit has only 100 steps"):
        Polynomial(begin=0, end=500).plan(100)


def test_unknown_length_needs_steps():
    assert Polynomial(begin=5, end=10).plan(None).end == 10
    with pytest.raises(ValueError, match="length of this fit is unknown"):
        Polynomial().plan(None)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"begin": -1}, "`begin` must not be negative"),
        ({"end": 1.5}, "fraction of the fit"),
        ({"end": 80.0}, "give a step as an int"),
        ({"begin": 0.5, "end": 0.2}, "`end` must not come before"),
        ({"initial": 1.0}, "`initial`"),
        ({"power": 0}, "`power`"),
        ({"every": 0}, "`every`"),
        ({"every": 1.5}, "`every`"),
    ],
)
def test_bad_values(arguments, match):
    with pytest.raises(ValueError, match=match):
        Polynomial(**arguments)


def test_wrong_type():
    with pytest.raises(TypeError, match="`begin` must be a float"):
        Polynomial(begin="0.1")
    with pytest.raises(TypeError, match="`end`"):
        Polynomial(end=True)

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgekit.pruning.schedules import (
    Constant,
    Cosine,
    DenseSparseDense,
    Iterative,
    OneCycle,
    OneShot,
    Polynomial,
)

ALL = [Polynomial(), Cosine(), OneCycle(), Iterative(), OneShot(), Constant(), DenseSparseDense()]


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


def levels(schedule, total=400, final=0.8):
    """The sparsity that holds in each step of a fit."""
    plan, reached, found = schedule.plan(total), 0.0, []
    for step in range(total):
        if plan.updates_due(step) > (plan.updates_due(step - 1) if step else 0):
            reached = plan.sparsity(step, final)
        found.append(reached)
    return found


@pytest.mark.parametrize("schedule", ALL[:-1], ids=lambda s: type(s).__name__)
def test_sparsity_rises_to_the_final_one(schedule):
    found = levels(schedule)
    assert found == sorted(found)
    assert found[-1] == pytest.approx(0.8, abs=1e-12)
    assert levels(schedule, total=10)[-1] == pytest.approx(0.8, abs=1e-12)


def test_formulas():
    assert Cosine(initial=0.2).sparsity(0.5, 0.8) == pytest.approx(0.5)
    assert Cosine().sparsity(0.25, 1.0) == pytest.approx(0.1464, abs=1e-4)
    one_cycle = OneCycle()
    assert one_cycle.sparsity(1.0, 0.8) == pytest.approx(0.8)
    assert one_cycle.sparsity(5 / 14, 0.8) == pytest.approx(0.4, abs=1e-3)
    assert one_cycle.sparsity(0.0, 0.8) < 0.01


def test_rounds_take_the_same_share_of_what_is_left():
    found = sorted(set(levels(Iterative(rounds=4))))
    assert found[0] == pytest.approx(1 - 0.2**0.25)  # at the first step
    left = [1 - level for level in [0, *found]]
    ratios = [b / a for a, b in zip(left, left[1:], strict=False)]
    assert ratios == pytest.approx([0.2**0.25] * 4)


def test_one_shot_and_constant_and_dense_sparse_dense():
    assert levels(OneShot(at=0.5), 10) == [0.0] * 5 + [0.8] * 5
    assert levels(Constant(), 3) == [0.8] * 3
    assert levels(DenseSparseDense(begin=2, end=5), 8) == [0, 0, 0.8, 0.8, 0.8, 0, 0, 0]


@pytest.mark.parametrize("schedule", ALL, ids=lambda s: type(s).__name__)
def test_plots_are_files(schedule, tmp_path):
    figure = schedule.plot(tmp_path / "plot.png", final=0.9, total_steps=50)
    assert (tmp_path / "plot.png").stat().st_size > 1000
    assert max(figure.axes[0].lines[0].get_ydata()) == pytest.approx(0.9)


@given(st.integers(0, 100), st.integers(0, 100), st.integers(1, 30))
def test_updates_come_one_at_a_time(begin, length, every):
    plan = Polynomial(begin=begin, end=begin + length, every=every).plan(None)
    due = [plan.updates_due(step) for step in range(begin + length + 2)]
    assert max(b - a for a, b in zip(due, due[1:], strict=False)) <= 1
    assert plan.updates_due(begin) == 1


def test_too_short_a_fit_is_refused():
    with pytest.raises(ValueError, match="ends at step 500, but the fit has only 100 steps"):
        Polynomial(begin=0, end=500).plan(100)


def test_rounds_need_a_step_each():
    with pytest.raises(ValueError, match="has 5 updates, but only 4 steps"):
        Iterative(rounds=5, begin=0, end=3).plan(100)
    with pytest.raises(ValueError, match="has 2 updates, but only 1 steps"):
        DenseSparseDense().plan(1)


@pytest.mark.parametrize(
    ("kind", "arguments", "match"),
    [
        (Iterative, {"rounds": 1}, "`rounds` must be a whole number ≥ 2"),
        (OneShot, {"at": -1}, "`at` must not be negative"),
        (OneCycle, {"alpha": 0}, "`alpha` must be positive"),
        (Cosine, {"initial": 2}, "`initial`"),
    ],
)
def test_bad_values_of_others(kind, arguments, match):
    with pytest.raises(ValueError, match=match):
        kind(**arguments)


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

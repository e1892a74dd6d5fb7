"""When to prune, and how far: sparsity as a function of the training step."""

from dataclasses import dataclass
from numbers import Integral, Real

_DEFAULT_UPDATES = 100


@dataclass(frozen=True)
class Polynomial:
    """Sparsity that rises fast, then ever slower: `s = f + (i - f) (1 - t) ** power`.

    Example:
        >>> Polynomial()                                # from the start to 75 % of the fit
        >>> Polynomial(begin=0.1, end=0.8, initial=0.2)
        >>> Polynomial(begin=1000, end=9000, every=100) # in optimizer steps

    Args:
        begin: First update. A float is a fraction of the fit (0 to 1), an int a step.
            Defaults to `0.0`.
        end: Last update, after which the sparsity stays at its final value. Float or int
            as above. Defaults to `0.75`.
        initial: Sparsity at `begin`, 0 to 1. Defaults to `0.0`.
        power: Exponent; 1 is linear, 3 the paper's cubic. Defaults to `3`.
        every: Steps between two updates. Defaults to `None`: about 100 updates in all.

    Raises:
        ValueError: A value outside its range.
        TypeError: `begin` or `end` is neither float nor int.

    Source: Zhu & Gupta 2017, "To prune, or not to prune", arXiv 1710.01878.
    """

    begin: float | int = 0.0
    end: float | int = 0.75
    initial: float = 0.0
    power: float = 3
    every: int | None = None

    def __post_init__(self):
        _check_position("begin", self.begin)
        _check_position("end", self.end)
        same_unit = isinstance(self.begin, Integral) == isinstance(self.end, Integral)
        if same_unit and self.end < self.begin:
            raise ValueError(
                f"`end` must not come before `begin`. Received: begin={self.begin}, end={self.end}"
            )
        if not isinstance(self.initial, Real) or not 0 <= self.initial < 1:
            raise ValueError(
                f"`initial` must be from 0 to below 1. Received: initial={self.initial!r}"
            )
        if not isinstance(self.power, Real) or not self.power > 0:
            raise ValueError(f"`power` must be positive. Received: power={self.power!r}")
        if self.every is not None and (not isinstance(self.every, Integral) or self.every < 1):
            raise ValueError(
                f"`every` must be a whole number of steps ≥ 1. Received: {self.every!r}"
            )

    def plan(self, total_steps: int | None) -> "Plan":
        """This schedule in the steps of one fit of `total_steps` (None when not known).

        Raises:
            ValueError: The fit is too short, or fractions are used and its length is unknown.
        """
        begin = _to_step("begin", self.begin, total_steps)
        end = max(begin, _to_step("end", self.end, total_steps))
        if total_steps is not None and end >= total_steps:
            raise ValueError(
                f"the schedule ends at step {end}, but the fit has only {total_steps} steps "
                f"(0 to {total_steps - 1}): train longer or set `end` earlier"
            )
        return Plan(self, begin, end, self.every or max(1, (end - begin) // _DEFAULT_UPDATES))

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at `begin`, 1 at `end`) on the way to `final`."""
        return final + (min(self.initial, final) - final) * (1 - progress) ** self.power


@dataclass(frozen=True)
class Plan:
    """A schedule bound to the steps of one fit: `begin`, `end` and `every` in steps."""

    schedule: Polynomial
    begin: int
    end: int
    every: int

    def updates_due(self, step: int) -> int:
        """How many updates are due by the start of `step`; it rises by one at each update."""
        if step < self.begin:
            return 0
        regular = (min(step, self.end) - self.begin) // self.every + 1
        odd_end = (self.end - self.begin) % self.every != 0
        return regular + (1 if step >= self.end and odd_end else 0)

    def sparsity(self, step: int, final: float) -> float:
        """Sparsity to be reached at `step` on the way to `final`."""
        if step >= self.end:
            return final
        return self.schedule.sparsity((step - self.begin) / (self.end - self.begin), final)


def _check_position(name: str, value: float | int) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(
            f"`{name}` must be a float (fraction of the fit) or an int (step). "
            f"Received: {name}={value!r}"
        )
    if not isinstance(value, Integral) and not 0 <= value <= 1:
        raise ValueError(
            f"`{name}` as a float is a fraction of the fit, from 0.0 to 1.0; give a step as an "
            f"int. Received: {name}={value}"
        )
    if value < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {name}={value}")


def _to_step(name: str, value: float | int, total_steps: int | None) -> int:
    if isinstance(value, Integral):
        return int(value)
    if total_steps is None:
        raise ValueError(
            f"`{name}`={value} is a fraction of the fit, but the length of this fit is unknown: "
            "pass `steps_per_epoch` to `fit`, or give the schedule in steps (ints)"
        )
    return min(round(value * total_steps), total_steps - 1)

"""When to prune, and how far: sparsity as a function of the training step."""

import math
from dataclasses import dataclass
from pathlib import Path

from edgekit.core.arguments import check_whole, is_number, is_whole
from edgekit.core.plots import new_figure, save_figure
from edgekit.core.positions import check_position, to_step
from edgekit.pruning.plan import Plan

_DEFAULT_UPDATES = 100


class Schedule:
    """What schedules share: `begin` and `end`, the steps between updates, a plot."""

    begin: float | int
    end: float | int
    initial: float = 0.0
    every: int | None = None
    least_updates: int = 1
    # What the user calls `end`.
    _last = "end"

    def __post_init__(self):
        check_position("begin", self.begin)
        check_position("end", self.end)
        same_unit = is_whole(self.begin) == is_whole(self.end)
        if same_unit and self.end < self.begin:
            raise ValueError(
                f"`end` must not come before `begin`. Received: begin={self.begin}, end={self.end}"
            )
        if not is_number(self.initial) or not 0 <= self.initial < 1:
            raise ValueError(
                f"`initial` must be from 0 to below 1. Received: initial={self.initial!r}"
            )
        if self.every is not None:
            check_whole("every", self.every)

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at `begin`, 1 at `end`) on the way to `final`."""
        raise NotImplementedError(f"{type(self).__name__} must say how sparsity rises")

    def plan(self, total_steps: int | None) -> Plan:
        """This schedule in the steps of one fit of `total_steps` (None when not known).

        Raises:
            ValueError: The fit is too short, or fractions are used and its length is unknown.
        """
        begin = to_step("begin", self.begin, total_steps)
        end = max(begin, to_step(self._last, self.end, total_steps))
        if total_steps is not None and end >= total_steps:
            raise ValueError(
                f"the schedule ends at step {end}, but the fit has only {total_steps} steps "
                f"(0 to {total_steps - 1}): train longer or set `{self._last}` earlier"
            )
        if end - begin + 1 < self.least_updates:
            raise ValueError(
                f"the schedule has {self.least_updates} updates, but only {end - begin + 1} steps "
                f"from its begin ({begin}) to its end ({end}): train longer or ask for fewer"
            )
        return Plan(self, begin, end, self.every or self._default_every(end - begin))

    def plot(self, path: str | Path | None = None, final: float = 0.8, total_steps: int = 1000):
        """Draw sparsity over the steps of a fit.

        Example:
            >>> ek.schedules.OneCycle().plot("one_cycle.png", final=0.9)

        Args:
            path: Where to save the picture. Defaults to `None`: nowhere.
            final: Sparsity it rises to. Defaults to `0.8`.
            total_steps: Length of the fit. Defaults to `1000`.

        Returns:
            The matplotlib figure.

        Raises:
            ImportError: matplotlib is missing (extra `report`).
        """
        plan = self.plan(total_steps)
        reached, levels = 0.0, []
        for step in range(total_steps):
            if plan.updates_due(step) > (plan.updates_due(step - 1) if step else 0):
                reached = plan.sparsity(step, final)
            levels.append(reached)
        figure, axes = new_figure(width=6, height=3)
        axes.step(range(total_steps), levels, where="post")
        axes.set(xlabel="step", ylabel="sparsity", ylim=(-0.02, 1.02), title=repr(self))
        return save_figure(figure, path)

    def _default_every(self, length: int) -> int:
        return max(1, length // _DEFAULT_UPDATES)


def check_schedule(schedule: Schedule | None) -> None:
    """Refuse what is no schedule: a number, or the class of one.

    Raises:
        TypeError: It is not None and has no plan.
    """
    if schedule is not None and (isinstance(schedule, type) or not hasattr(schedule, "plan")):
        raise TypeError(
            "`schedule` must be an ek.schedules object, such as ek.schedules.Polynomial(). "
            f"Received: schedule={schedule!r}"
        )


@dataclass(frozen=True)
class Polynomial(Schedule):
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
        super().__post_init__()
        if not is_number(self.power) or not 0 < self.power < math.inf:
            raise ValueError(f"`power` must be positive. Received: power={self.power!r}")

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at `begin`, 1 at `end`) on the way to `final`."""
        return final + (min(self.initial, final) - final) * (1 - progress) ** self.power


@dataclass(frozen=True)
class Cosine(Schedule):
    """Sparsity that follows half a cosine: slow, fast, slow.

    Example:
        >>> Cosine(begin=0.1, end=0.8)

    Args:
        begin: First update; a float is a fraction of the fit, an int a step. Defaults to `0.0`.
        end: Last update. Defaults to `0.75`.
        initial: Sparsity at `begin`, 0 to 1. Defaults to `0.0`.
        every: Steps between two updates. Defaults to `None`: about 100 updates in all.

    Raises:
        ValueError: A value outside its range.
        TypeError: `begin` or `end` is neither float nor int.

    Source: the annealing of Loshchilov & Hutter 2016, arXiv 1608.03983, for sparsity.
    """

    begin: float | int = 0.0
    end: float | int = 0.75
    initial: float = 0.0
    every: int | None = None

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at `begin`, 1 at `end`) on the way to `final`."""
        initial = min(self.initial, final)
        return initial + (final - initial) * (1 - math.cos(math.pi * progress)) / 2


@dataclass(frozen=True)
class OneCycle(Schedule):
    """Sparsity on a logistic curve over the whole fit, beside a one-cycle learning rate.

    Example:
        >>> OneCycle()

    Args:
        begin: First update; a float is a fraction of the fit, an int a step. Defaults to `0.0`.
        end: Last update. Defaults to `0.95`: the rest of the fit trains under the last masks.
        initial: Sparsity at `begin`, 0 to 1. Defaults to `0.0`.
        alpha: Steepness of the curve. Defaults to `14.0`, the paper's.
        beta: Shifts the rise; half-way is at `beta / alpha`. Defaults to `5.0`, the paper's.
        every: Steps between two updates. Defaults to `None`: about 100 updates in all.

    Raises:
        ValueError: A value outside its range.
        TypeError: `begin` or `end` is neither float nor int.

    Source: Hubens et al. 2021, "One-Cycle Pruning", arXiv 2107.02086.
    """

    begin: float | int = 0.0
    end: float | int = 0.95
    initial: float = 0.0
    alpha: float = 14.0
    beta: float = 5.0
    every: int | None = None

    def __post_init__(self):
        super().__post_init__()
        if not is_number(self.alpha) or not 0 < self.alpha < math.inf:
            raise ValueError(f"`alpha` must be positive. Received: alpha={self.alpha!r}")
        if not is_number(self.beta) or not math.isfinite(self.beta):
            raise ValueError(f"`beta` must be a number. Received: beta={self.beta!r}")

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at `begin`, 1 at `end`) on the way to `final`."""
        initial = min(self.initial, final)
        at_end = 1 + math.exp(self.beta - self.alpha)
        return initial + (final - initial) * at_end / (
            1 + math.exp(self.beta - self.alpha * progress)
        )


@dataclass(frozen=True)
class Iterative(Schedule):
    """Prunes in a few rounds with training between; each takes the same share of what is left.

    Example:
        >>> Iterative(rounds=5)   # to 0.8: 0.28, 0.47, 0.62, 0.72, 0.80

    Args:
        rounds: How often weights go, 2 or more; `OneShot` is for once. Defaults to `5`.
        begin: First round; a float is a fraction of the fit, an int a step. Defaults to `0.0`.
        end: Last round. Defaults to `0.75`.

    Raises:
        ValueError: A value outside its range.
        TypeError: `begin` or `end` is neither float nor int.

    Source: Han et al. 2015, arXiv 1506.02626; rounds of equal rates as Frankle & Carbin 2018,
    arXiv 1803.03635.
    """

    rounds: int = 5
    begin: float | int = 0.0
    end: float | int = 0.75

    def __post_init__(self):
        super().__post_init__()
        check_whole("rounds", self.rounds, least=2)

    @property
    def least_updates(self) -> int:
        """Each round needs a step of its own."""
        return self.rounds

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at `begin`, 1 at `end`) on the way to `final`."""
        done = min(self.rounds, math.floor(progress * (self.rounds - 1) + 1e-9) + 1)
        return final if done == self.rounds else 1 - (1 - final) ** (done / self.rounds)


@dataclass(frozen=True)
class OneShot(Schedule):
    """Prunes all at once, after some training.

    Example:
        >>> OneShot(at=0.5)   # half of the fit dense, half of it sparse

    Args:
        at: When; a float is a fraction of the fit, an int a step. Defaults to `0.5`.

    Raises:
        ValueError: A value outside its range.
        TypeError: `at` is neither float nor int.
    """

    at: float | int = 0.5
    _last = "at"

    def __post_init__(self):
        check_position("at", self.at)

    @property
    def begin(self) -> float | int:
        """The one update is the first."""
        return self.at

    @property
    def end(self) -> float | int:
        """The one update is the last."""
        return self.at

    def sparsity(self, progress: float, final: float) -> float:
        """`final`, from the one update on."""
        return final


@dataclass(frozen=True)
class Constant(OneShot):
    """The final sparsity from the first step on.

    Example:
        >>> Constant()

    Args:
        at: When, as in `OneShot`. Defaults to `0`: the first step.
    """

    at: float | int = 0


@dataclass(frozen=True)
class DenseSparseDense(Schedule):
    """Trains dense, then sparse, then dense again: pruning as regularisation.

    The model is dense at the end; pruned weights start again from zero.

    Example:
        >>> DenseSparseDense(begin=0.3, end=0.7)

    Args:
        begin: When weights go; a float is a fraction of the fit, an int a step. Defaults to
            one third.
        end: When all may grow again. Defaults to two thirds.

    Raises:
        ValueError: A value outside its range.
        TypeError: `begin` or `end` is neither float nor int.

    Source: Han et al. 2016, "DSD: Dense-Sparse-Dense Training", arXiv 1607.04381.
    """

    begin: float | int = 1 / 3
    end: float | int = 2 / 3
    least_updates = 2

    def sparsity(self, progress: float, final: float) -> float:
        """`final` between the two updates, 0 from the second on."""
        return final if progress < 1 else 0.0

    def _default_every(self, length: int) -> int:
        return max(1, length)

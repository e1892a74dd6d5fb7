"""A schedule bound to the steps of one fit."""

from dataclasses import dataclass
from typing import Protocol


class Shape(Protocol):
    """What a plan asks of a schedule."""

    def sparsity(self, progress: float, final: float) -> float:
        """Sparsity at `progress` (0 at the first update, 1 at the last)."""


@dataclass(frozen=True)
class Plan:
    """When masks are updated, in steps of one fit, and how far each time.

    Example:
        >>> plan = Polynomial(begin=0, end=100, every=10).plan(total_steps=200)
        >>> plan.updates_due(25), plan.sparsity(100, final=0.8)
        (3, 0.8)

    Args:
        schedule: Gives the sparsity between the first and the last update; None where updates
            leave it as it is.
        begin: Step of the first update.
        end: Step of the last one.
        every: Steps between two.
    """

    schedule: Shape | None
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

    def asks_at(self, step: int) -> bool:
        """Whether an update at `step` has something to do: without a schedule any has."""
        return self.schedule is None or self.sparsity(step, 0.5) > 0

    def sparsity(self, step: int, final: float) -> float:
        """Sparsity to be reached at `step` on the way to `final`."""
        if step < self.begin:
            return 0.0
        length = self.end - self.begin
        progress = min(1.0, (step - self.begin) / length) if length else 1.0
        return self.schedule.sparsity(progress, final)

"""What a run promises, held against what it measured."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Check:
    """One promise: `value` must be at least (or at most) `bound`."""

    what: str
    value: float
    bound: float
    at_least: bool = True
    percent: bool = True

    @property
    def passed(self) -> bool:
        """Whether the promise was kept."""
        return self.value >= self.bound if self.at_least else self.value <= self.bound

    def __str__(self):
        form = "{:.2%}" if self.percent else "{:g}"
        sign = "≥" if self.at_least else "≤"
        mark = "ok" if self.passed else "FAILED"
        return f"{mark:6} {self.what}: {form.format(self.value)} ({sign} {form.format(self.bound)})"

    def to_dict(self) -> dict:
        """JSON-ready."""
        return {
            "what": self.what,
            "value": self.value,
            "bound": self.bound,
            "at_least": self.at_least,
            "passed": self.passed,
        }

"""How long is measured, and by which rules."""

from dataclasses import dataclass, replace
from numbers import Integral, Real
from typing import Any

_LONGEST = 3600.0


@dataclass(frozen=True)
class Mode:
    """How much is measured of each model.

    Args:
        name: What it is called.
        processes: Fresh processes.
        windows: Stretches of steady runs in each, every one with a warm-up of its own.
        seconds: How long each of these lasts at least.
        min_runs: How many runs it has at least.
        self_pair: Whether the first model is measured twice, which shows how far apart equal
            things come out.
        headline: What stands for the model: `"median"`, `"p90"` or `"throughput"`.
    """

    name: str
    processes: int
    windows: int
    seconds: float
    min_runs: int
    self_pair: bool
    headline: str = "median"

    @property
    def longest(self) -> float:
        """Seconds after which a window ends without all of its runs; rules know of no such end."""
        return _LONGEST if self.name.startswith("mlperf") else 10 + 10 * self.seconds


MODES = {
    mode.name: mode
    for mode in (
        Mode("quick", 3, 1, 0.3, 30, self_pair=False),
        Mode("standard", 8, 1, 1.0, 50, self_pair=True),
        # MLPerf Tiny rules v1.2: throughput, the median of five windows.
        Mode("mlperf-tiny", 1, 5, 10.0, 10, self_pair=False, headline="throughput"),
        # MLPerf Mobile: single stream, p90 of 1,024 queries and 60 s at least.
        Mode("mlperf-mobile", 1, 1, 60.0, 1024, self_pair=False, headline="p90"),
    )
}


def mode_of(name: str, processes: Any = None, seconds: Any = None) -> Mode:
    """The mode of that name, with other numbers where they are given.

    Raises:
        ValueError: No such mode, or a number out of its range, or one that the rules fix.
    """
    if name not in MODES:
        raise ValueError(f"`mode` must be one of {', '.join(MODES)}. Received: mode={name!r}")
    mode = MODES[name]
    given = {
        key: value
        for key, value in (("processes", processes), ("seconds", seconds))
        if value is not None
    }
    if given and name.startswith("mlperf"):
        raise ValueError(f"`{next(iter(given))}` is fixed by the rules of {name}: leave it out")
    _check(given, "processes", Integral, "a whole number", 1000)
    _check(given, "seconds", Real, "a number", _LONGEST)
    return replace(mode, **given)


def _check(given: dict, name: str, kind: type, words: str, most: float) -> None:
    if name not in given:
        return
    value = given[name]
    if isinstance(value, bool) or not isinstance(value, kind):
        raise ValueError(f"`{name}` must be {words}. Received: {name}={value!r}")
    if not 0 < value <= most:
        raise ValueError(f"`{name}` must be above 0 and at most {most}. Received: {name}={value}")

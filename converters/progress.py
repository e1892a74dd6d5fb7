"""Progress of long work: bars in a terminal, lines in a log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

# A line after so many seconds, where a tenth of the work takes longer than that.
_SECONDS = 15
_running: list["Stages"] = []


class Stages:
    """Named stages of a long run.

    Bars are drawn on standard error where that is a terminal. A log gets a line when a stage
    begins, at every tenth of it and when it ends.

    Example:
        >>> with Stages().running() as stages:
        ...     with stages.step("loading"):
        ...         load()
        ...     benchmark(files, on_progress=stages.counter("benchmark"))

    Args:
        log: Where lines go if it is no terminal. Defaults to `None`: standard error.
        transient: Whether bars go when all is done. Defaults to `True`.
    """

    def __init__(self, log: TextIO | None = None, transient: bool = True):
        self._log, self._transient = log or sys.stderr, transient
        self._bars = None
        self._lines = not self._log.isatty()

    @contextmanager
    def running(self) -> Iterator["Stages"]:
        """Shows the stages while the block runs; those of a run within a run are shown there."""
        if _running:
            yield _running[-1]
            return
        _running.append(self)
        try:
            if not sys.stderr.isatty():
                yield self
                return
            with _progress(self._transient) as self._bars:
                yield self
        finally:
            self._bars = None
            _running.remove(self)

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """A stage whose length is not known beforehand."""
        report = self.counter(description)
        report(0, None)
        yield
        report(1, 1)

    def counter(self, description: str) -> Callable[[int, int | None], None]:
        """A function `(done, total)` that reports how far a stage is."""
        task = self._bars and self._bars.add_task(description, total=None)
        line = _Lines(description, self._log) if self._lines else None

        def report(done: int, total: int | None) -> None:
            if self._bars is not None and task is not None:
                self._bars.update(task, completed=done, total=total)
            if line is not None:
                line.report(done, total)

        return report


@contextmanager
def progress_of(folder: Path) -> Iterator[Callable[[], None]]:
    """Shows, each time it is called, the format in the making and the samples calibrated.

    Where no `Stages` run, terminals alone are told.

    Args:
        folder: The worker's job folder.
    """
    if not _running and not sys.stderr.isatty():
        yield lambda: None
        return
    with Stages().running() as stages:
        reports: dict[str, Callable] = {}
        counted, current = folder / "progress", folder / "current"

        def show() -> None:
            if name := current.read_text() if current.exists() else "":
                for other, report in reports.items():
                    if other not in (name, "calibrating"):
                        report(1, 1)
                reports.setdefault(name, stages.counter(f"converting: {name}"))
            done, total = (counted.read_text().split() + ["", ""])[:2] if counted.exists() else "  "
            if done.isdigit() and total.isdigit():
                if "calibrating" not in reports:
                    reports["calibrating"] = stages.counter("calibrating")
                reports["calibrating"](int(done), int(total))

        yield show
        for report in reports.values():
            report(1, 1)


class _Lines:
    """The lines of one stage."""

    def __init__(self, description: str, log: TextIO):
        self._description, self._log = description, log
        self._begin = self._last = time.monotonic()
        self._tenth, self._begun, self._ended = 0, False, False

    def _begin_line(self) -> None:
        if not self._begun:
            self._begun = True
            self._write("begins")

    def report(self, done: int, total: int | None) -> None:
        if self._ended:
            return
        self._begin_line()
        now = time.monotonic()
        if total and done >= total:
            self._ended = True
            self._write(f"done in {now - self._begin:.0f} s")
        elif total and 10 * done // total > self._tenth and now - self._last >= 1:
            self._tenth, self._last = 10 * done // total, now
            left = (now - self._begin) * (total - done) / done
            self._write(f"{done / total:.0%}, about {left:.0f} s to go")
        elif now - self._last >= _SECONDS:
            self._last = now
            self._write(f"{done} of {total}" if total else f"{now - self._begin:.0f} s")

    def _write(self, what: str) -> None:
        print(f"{self._description}: {what}", file=self._log, flush=True)


def _progress(transient: bool):
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        TimeElapsedColumn(),
        Remaining(),
        console=Console(stderr=True),
        transient=transient,
    )

"""A line that says what the worker is at, on terminals."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def progress_of(folder: Path) -> Iterator[Callable[[], None]]:
    """Shows, each time it is called, the format in the making and the samples calibrated.

    Args:
        folder: The worker's job folder.
    """
    if not sys.stderr.isatty():
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True
    ) as bar:
        task = bar.add_task("converting", total=None)

        def show():
            current, counted = folder / "current", folder / "progress"
            name = current.read_text() if current.exists() else ""
            done, total = (counted.read_text().split() + ["", ""])[:2] if counted.exists() else "  "
            if done.isdigit() and total.isdigit() and done != total:
                bar.update(task, description="calibrating", completed=int(done), total=int(total))
            else:
                bar.update(task, description=f"converting {name}", completed=0, total=None)

        yield show

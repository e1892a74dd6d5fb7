"""Progress bars for long work."""

from collections.abc import Iterator
from contextlib import contextmanager

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn


class Stages:
    """Named stages of a long run, each with a bar.

    Example:
        >>> with Stages().running() as stages:
        ...     model.fit(x, y, callbacks=[stages.training("baseline")], verbose=0)
        ...     with stages.step("loading"):
        ...         load()

    Args:
        console: Where to draw. Defaults to `None`: standard error.
    """

    def __init__(self, console: Console | None = None):
        self._progress = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console or Console(stderr=True),
        )

    @contextmanager
    def running(self) -> Iterator["Stages"]:
        """Draws the bars while the block runs."""
        with self._progress:
            yield self

    @contextmanager
    def step(self, description: str) -> Iterator[None]:
        """A stage whose length is not known beforehand."""
        task = self._progress.add_task(description, total=None)
        yield
        self._progress.update(task, total=1, completed=1)

    def counter(self, description: str):
        """A function `(done, total)` that moves a bar."""
        task = self._progress.add_task(description, total=None)
        return lambda done, total: self._progress.update(task, completed=done, total=total)

    def training(self, description: str) -> "TrainingProgress":
        """A Keras callback that moves a bar batch by batch."""
        return TrainingProgress(self.counter(description))


class TrainingProgress(keras.callbacks.Callback):
    """Reports the batches of a fit to `report(done, total)`."""

    def __init__(self, report):
        super().__init__()
        self._report = report
        self._done = 0

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        steps = self.params.get("steps")
        self._report(self._done, steps * self.params["epochs"] if steps else None)

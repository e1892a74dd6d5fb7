"""Progress of a fit."""

from collections.abc import Callable

import keras


class TrainingProgress(keras.callbacks.Callback):
    """Reports the batches of a fit to `report(done, total)`.

    Example:
        >>> with Stages().running() as stages:
        ...     report = stages.counter("training")
        ...     model.fit(x, y, callbacks=[TrainingProgress(report)], verbose=0)

    Args:
        report: Called after each batch; the total is `None` where it is not known.
    """

    def __init__(self, report: Callable[[int, int | None], None]):
        super().__init__()
        self._report = report
        self._done = 0

    def on_train_batch_end(self, batch, logs=None):
        self._done += 1
        steps = self.params.get("steps")
        self._report(self._done, steps * self.params["epochs"] if steps else None)

    def on_train_end(self, logs=None):
        self._report(max(1, self._done), max(1, self._done))

"""Which step of its fit a callback is at."""


class StepCounter:
    """Counts optimizer steps in a fit that may begin at a later epoch.

    Such a fit goes on where that epoch begins. Where data do not say how long an epoch is, that is
    known when the first one is over: until then `step` is None.

    Args:
        per_epoch: Steps of an epoch; None when not known.
        step: The step that the fit goes on from, if that is known. Defaults to `None`.

    Attributes:
        step: The next step.
    """

    def __init__(self, per_epoch: int | None, step: int | None = None):
        self.step = step
        self._per_epoch, self._begun = per_epoch, False
        self._start, self._seen = step, 0

    @property
    def done(self) -> int:
        """Steps so far, in this fit alone where it is not known where that began."""
        return self._seen if self.step is None else self.step

    def begin_epoch(self, epoch: int) -> None:
        """For `on_epoch_begin`."""
        if not self._begun and self.step is None and (self._per_epoch or epoch == 0):
            self.step = epoch * (self._per_epoch or 0)
        self._begun, self._start, self._seen = True, self.step, 0

    def begin_batch(self, batch: int) -> int | None:
        """For `on_train_batch_begin`: the step that now begins, None when not known."""
        return None if self._start is None else self._start + batch

    def end_batch(self, batch: int) -> None:
        """For `on_train_batch_end`."""
        self._seen = batch + 1
        if self._start is not None:
            self.step = self._start + self._seen

    def end_epoch(self, epoch: int) -> None:
        """For `on_epoch_end`: now the length of an epoch is known."""
        if self._start is None:
            self.step = (epoch + 1) * self._seen

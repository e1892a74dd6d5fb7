"""What callbacks share that hold weights in a shape through a fit."""

import warnings
from collections.abc import Sequence
from typing import Protocol

import keras

from edgekit.core.before_saving import before_saving, not_before_saving
from edgekit.core.constraints import altered, forget_altered
from edgekit.core.diverged import Divergence
from edgekit.core.next_fit import before_next_fit, fit_ended
from edgekit.core.running_fit import LastWord


class Holding(Protocol):
    """Something that holds weights."""

    @property
    def variables(self) -> list[keras.Variable]:
        """What it holds."""

    def apply(self) -> None:
        """Bring the weights into shape now, whatever has been written into them."""

    def release(self) -> None:
        """Let them go."""


class HoldingCallback(keras.callbacks.Callback):
    """A callback that holds weights, from some step of a fit until all its callbacks have ended.

    A class says in `_holdings` what holds them, calls `_fit_begins` when the fit begins and
    `_has_taken_hold` when it has put something on the model.
    """

    def _holdings(self) -> Sequence[Holding]:
        raise NotImplementedError(f"{type(self).__name__} must say what it holds")

    def _fit_begins(self) -> None:
        self._last_word = LastWord(self.model, self._finish)
        self._divergence = Divergence(self, self.model)
        self._training = _training_in(self.model)

    def _is_to_take_hold(self, batch: int) -> bool:
        """Whether nothing is held yet, or another callback set layers free before this epoch.

        Those have something of their own to keep. Not as the fit begins: callbacks behind this one
        may put other weights in then.
        """
        return not self._holdings() or (batch == 0 and self._more_trains())

    def _more_trains(self) -> bool:
        """Whether weights train that did not when this was last asked, as of a layer set free."""
        before, self._training = self._training, _training_in(self.model)
        return not self._training <= before

    def _has_taken_hold(self) -> None:
        before_next_fit(self, self._let_go)
        before_saving(self.model, self._apply)

    def on_epoch_begin(self, epoch, logs=None):
        for holding in self._holdings():
            forget_altered(holding.variables)

    def on_epoch_end(self, epoch, logs=None):
        self._apply()  # what others have written past Keras's variables
        self._divergence.tell()

    def on_train_end(self, logs=None):
        self._apply()
        self._last_word.ended()

    def _apply(self) -> None:
        for holding in self._holdings():
            holding.apply()

    def _finish(self) -> None:
        """All callbacks have ended: what they have put back gets its shape, then all is let go."""
        self._apply()
        restored = any(altered(holding.variables) for holding in self._holdings())
        self._let_go()
        fit_ended(self)
        if restored:
            warnings.warn(
                f"{type(self).__name__}: another callback has put weights back that were not "
                "trained in the shape which the fit ends with, and they were brought into it. "
                "Let EarlyStopping look for the best epoch only from then on (start_from_epoch)",
                stacklevel=2,
            )
        self._divergence.tell()

    def _let_go(self) -> None:
        self._last_word.forget()
        not_before_saving(self.model, self._apply)
        for holding in self._holdings():
            holding.release()


def _training_in(model: keras.Model) -> set[int]:
    return {id(variable) for variable in model.trainable_variables}

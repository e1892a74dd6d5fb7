"""Whether a model is being trained at this moment, and the last word when a fit ends."""

import inspect
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

import keras

_FIT = inspect.unwrap(keras.Model.fit).__code__
_LOOPS: list[keras.Model] = []
_END = "_edgekit_end"


def is_training(model: keras.Model) -> bool:
    """Whether a fit or a custom loop of the model is under way.

    A fit that was interrupted says nothing when it ends. So the question is whether one of its
    calls is still to return.
    """
    return any(model is other for other in _LOOPS) or any(_fits(model))


def running_fit(model: keras.Model) -> Any:
    """What stands for the fit of the model that is under way, the innermost; None without one.

    It is the list of the fit's callbacks: each fit makes one.
    """
    return next(filter(None, map(_callbacks, _fits(model))), None)


def runs(model: keras.Model, fit: Any) -> bool:
    """Whether a fit, as `running_fit` gave it, is still under way."""
    return fit is not None and any(_callbacks(frame) is fit for frame in _fits(model))


def _fits(model: keras.Model) -> Iterator[FrameType]:
    """The calls of the model's `fit` that are still to return, the innermost first."""
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_code is _FIT and frame.f_locals.get("self") is model:
            yield frame
        frame = frame.f_back


def _callbacks(frame: FrameType) -> keras.callbacks.CallbackList | None:
    found = frame.f_locals.get("callbacks")
    return found if isinstance(found, keras.callbacks.CallbackList) else None


@contextmanager
def looping(model: keras.Model) -> Iterator[None]:
    """Within it a custom loop trains the model."""
    _LOOPS.append(model)
    try:
        yield
    finally:
        _LOOPS.remove(model)


class LastWord:
    """Something done when all callbacks of a fit have ended, wherever one's own stands among them.

    `fit` puts its History behind the callbacks that it is given; its end is the end of all.

    Example:
        >>> def on_train_begin(self, logs=None):
        ...     self._last_word = LastWord(self.model, self._finish)
        >>> def on_train_end(self, logs=None):
        ...     self._last_word.ended()

    Args:
        model: The model whose fit begins.
        finish: Called once.
    """

    def __init__(self, model: keras.Model, finish: Callable[[], None]):
        self._finish: Callable[[], None] | None = finish
        self._comes = False
        history = getattr(model, "history", None)
        if any(model is other for other in _LOOPS):
            self._comes = True
            vars(model).setdefault(_END, []).append(self)
        elif type(history).__name__ == "History":  # of Keras 3, or of tf_keras
            self._lead(history, "on_train_begin", self._begun)
            self._lead(history, "on_train_end", self._ended_last)

    def ended(self) -> None:
        """One's own callback has ended: if none is known to come later, this is the end of all."""
        if not self._comes:
            self.speak()

    def speak(self) -> None:
        """It is the end of all."""
        finish, self._finish = self._finish, None
        self.forget()
        if finish is not None:
            finish()

    def forget(self) -> None:
        """Say nothing: the fit was interrupted."""
        self._finish = None

    def _begun(self) -> None:
        self._comes = True  # it stands behind: before one's own it has begun already

    def _ended_last(self) -> None:
        if self._comes:
            self.speak()

    def _lead(self, history, name: str, then: Callable[[], None]) -> None:
        method = getattr(history, name)

        def led(logs=None):
            vars(history).pop(name, None)
            method(logs)
            then()

        vars(history)[name] = led


def loop_ended(model: keras.Model) -> None:
    """A custom loop of the model has ended, and so have its callbacks."""
    for word in vars(model).pop(_END, []):
        word.speak()

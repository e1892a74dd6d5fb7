"""Tidying up after a fit that was interrupted, when the next one begins."""

from collections.abc import Callable
from typing import Any

import keras

from edgekit.core.optimizers import see_new_optimizers
from edgekit.core.running_fit import running_fit, runs

CUSTOM_LOOP = "custom_loop"
_NAME = "_edgekit_waiting"


def before_next_fit(callback: keras.callbacks.Callback, tidy: Callable[[], None]) -> None:
    """Call `tidy` if another fit of the model begins before `fit_ended` was said.

    An interrupted fit calls no callback. The next one first asks the model for its train
    function: that is where it is noticed. Callbacks ask for it too, who compile the model anew in
    the middle of its fit, or train it on a batch more: that is no other fit.

    Args:
        callback: Whose fit has begun.
        tidy: Takes off what the callback has put on the model.
    """
    if callback.params.get(CUSTOM_LOOP):
        return  # such a loop ends itself, and may ask for the train function at each batch
    model = callback.model
    waiting = _waiting(model)
    waiting[id(callback)] = running_fit(model), tidy
    if "make_train_function" in vars(model):
        return
    make_train_function = model.make_train_function

    def noticing(force=False):
        if not force:
            _tidy_up(model, lambda fit: not runs(model, fit))
        see_new_optimizers(model)
        return make_train_function(force)

    # Past Keras's tracking of attributes, so that nothing of it remains.
    vars(model)["make_train_function"] = noticing


def fit_ended(callback: keras.callbacks.Callback) -> None:
    """The callback has tidied up itself."""
    model = callback.model
    waiting = _waiting(model)
    waiting.pop(id(callback), None)
    if not waiting:
        _forget(model)


def tidy_up(model: keras.Model) -> None:
    """Do now what waits for the next fit: nothing, unless the last one was interrupted."""
    _tidy_up(model, lambda fit: True)


def _tidy_up(model: keras.Model, is_over: Callable[[Any], bool]) -> None:
    waiting = _waiting(model)
    over = [key for key, (fit, _) in waiting.items() if is_over(fit)]
    ended = [waiting.pop(key) for key in over]
    if not waiting:
        _forget(model)
    for _, tidy in ended:
        tidy()


def _forget(model: keras.Model) -> None:
    for name in ("make_train_function", _NAME):
        vars(model).pop(name, None)


def _waiting(model: keras.Model) -> dict[int, tuple[Any, Callable[[], None]]]:
    return vars(model).setdefault(_NAME, {})

"""Telling train steps from all else that a model computes in a fit: validation, predictions."""

import functools
from collections.abc import Iterator
from contextlib import contextmanager

import keras

_RUNNING: list[keras.Model] = []
_WATCHED = "_edgekit_watched_steps"
_NAME = "train_step"


def in_train_step(model: keras.Model) -> bool:
    """Whether a train step of the model is running, or being traced."""
    return any(model is other for other in _RUNNING)


@contextmanager
def train_step_of(model: keras.Model) -> Iterator[None]:
    """Within it runs a train step of the model."""
    _RUNNING.append(model)
    try:
        yield
    finally:
        _RUNNING.remove(model)


def watch_train_steps(model: keras.Model) -> None:
    """Let `in_train_step` know of the train steps of `fit`, once they are traced anew."""
    attributes = vars(model)
    if _WATCHED in attributes:
        attributes[_WATCHED][0] += 1
        return
    step, own = model.train_step, attributes.get(_NAME)

    @functools.wraps(step)
    def watched(*args, **kwargs):
        with train_step_of(model):
            return step(*args, **kwargs)

    # Past Keras's tracking of attributes, so that nothing of it remains.
    attributes[_NAME] = watched
    attributes[_WATCHED] = [1, own]


def forget_train_steps(model: keras.Model) -> None:
    """As often as they were watched."""
    attributes = vars(model)
    if _WATCHED not in attributes:
        return
    attributes[_WATCHED][0] -= 1
    if attributes[_WATCHED][0]:
        return
    _, own = attributes.pop(_WATCHED)
    del attributes[_NAME]
    if own is not None:
        attributes[_NAME] = own

"""Callbacks in a training loop of one's own."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import keras

from edgekit.core.arguments import check_whole
from edgekit.core.next_fit import CUSTOM_LOOP
from edgekit.core.running_fit import loop_ended, looping
from edgekit.core.train_steps import train_step_of


class CustomLoop:
    """Tells callbacks of the epochs and batches of a loop; made by `custom_loop`."""

    def __init__(
        self, callbacks: keras.callbacks.CallbackList, model: keras.Model, steps: int | None
    ):
        self._callbacks, self._model = callbacks, model
        self._steps = steps
        self._epoch = 0

    def __call__(self, batches: Iterable) -> Iterator:
        """One epoch: gives the batches on, one by one.

        Args:
            batches: What to iterate over; no more than `steps` are taken of it.
        """
        self._callbacks.on_epoch_begin(self._epoch)
        for number, batch in enumerate(batches):
            if number == self._steps:
                break
            self._callbacks.on_train_batch_begin(number)
            with train_step_of(self._model):
                yield batch
            self._callbacks.on_train_batch_end(number)
        self._callbacks.on_epoch_end(self._epoch)
        self._epoch += 1


@contextmanager
def custom_loop(
    model: keras.Model,
    callbacks: keras.callbacks.Callback | Sequence[keras.callbacks.Callback],
    *,
    epochs: int = 1,
    steps: int | None = None,
    optimizer: keras.optimizers.Optimizer | None = None,
) -> Iterator[CustomLoop]:
    """Use edgekit's callbacks in a training loop of your own.

    The masks hold because Keras optimizers apply a variable's constraint: the loop has to update
    weights by `optimizer.apply` or `apply_gradients`. A step inside a `tf.function` has to be
    traced, that is called for the first time, within the loop.

    Example:
        >>> callbacks = [ek.GradualPruning(0.8)]
        >>> with ek.custom_loop(model, callbacks, epochs=5, steps=len(data)) as loop:
        ...     for epoch in range(5):
        ...         for x, y in loop(data):
        ...             train_step(x, y)

    Args:
        model: A built model; it need not be compiled.
        callbacks: `ek.GradualPruning`, others, or several of them.
        epochs: How often the loop runs over the data. Defaults to `1`.
        steps: Batches of an epoch. Defaults to `None`: not known, so schedules must be in steps.
        optimizer: What the loop updates weights with; for criteria that need gradients, and for
            the averages of `use_ema=True`. Defaults to `None`: the model's own.

    Yields:
        A function that takes the batches of an epoch and gives them on.

    Raises:
        TypeError: `model` is none.
        ValueError: It has no weights yet, `epochs` or `steps` is no number, or what the callbacks
            refuse.
    """
    if not isinstance(model, keras.Model):
        raise TypeError(f"`model` must be a Keras 3 model. Received: {type(model).__name__}")
    if isinstance(callbacks, keras.callbacks.Callback):
        callbacks = [callbacks]
    check_whole("epochs", epochs)
    if steps is not None:
        check_whole("steps", steps)
    if not model.built:
        raise ValueError(
            f"model {model.name!r} has no weights yet: build it or call it on data first"
        )
    own = getattr(model, "optimizer", None)
    if optimizer is not None:
        model.optimizer = optimizer
    run = keras.callbacks.CallbackList(
        list(callbacks), model=model, epochs=epochs, steps=steps, verbose=0, **{CUSTOM_LOOP: True}
    )
    try:
        with looping(model):
            run.on_train_begin()
            try:
                yield CustomLoop(run, model, steps)
            finally:
                run.on_train_end()
                loop_ended(model)
    finally:
        if optimizer is not None:
            model.optimizer = own

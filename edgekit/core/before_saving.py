"""Something done before a model that trains is written to a file, by whichever callback.

Callbacks that stand before one's own in the list, and those that save within an epoch, write what
they find.
"""

from collections.abc import Callable

import keras

from edgekit.core.running_fit import is_training

_SAVING = ("save", "save_weights", "export")
_LIST = "_edgekit_before_saving"


def before_saving(model: keras.Model, do: Callable[[], None]) -> None:
    """Let `do` run before the model, or its weights, are saved within a fit.

    Example:
        >>> before_saving(model, holding.apply)
        >>> model.fit(x, y, callbacks=[keras.callbacks.ModelCheckpoint("m.keras")])

    Args:
        model: The model whose fit begins.
        do: What to do; see `not_before_saving`.
    """
    # Past Keras's tracking of attributes, so that nothing of it remains.
    attributes = vars(model)
    attributes.setdefault(_LIST, []).append(do)
    for name in _SAVING:
        if name not in attributes:
            attributes[name] = _led(model, getattr(model, name))


def not_before_saving(model: keras.Model, do: Callable[[], None]) -> None:
    """End what `before_saving` began, if it did."""
    attributes = vars(model)
    waiting = attributes.get(_LIST, [])
    if do in waiting:
        waiting.remove(do)
    if not waiting and attributes.pop(_LIST, None) is not None:
        for name in _SAVING:
            attributes.pop(name, None)


def _led(model: keras.Model, save: Callable) -> Callable:
    def saved(*args, **kwargs):
        if is_training(model):  # an interrupted fit leaves this here until the next one
            for do in list(vars(model).get(_LIST, [])):
                do()
        return save(*args, **kwargs)

    return saved

"""Whether the loss a model is compiled with is one of numbers or of classes."""

import warnings
from collections.abc import Mapping
from typing import Any

import keras

_OF_NUMBERS = {
    "mean_squared_error",
    "mean_absolute_error",
    "mean_absolute_percentage_error",
    "mean_squared_logarithmic_error",
    "huber",
    "log_cosh",
}


def of_numbers(loss: Any) -> bool:
    """Whether it is a regression's: `"mse"`, `keras.losses.Huber()` and the like.

    Example:
        >>> of_numbers("mse"), of_numbers("categorical_crossentropy")
        (True, False)
    """
    try:
        found = keras.losses.get(loss)
    except (ValueError, TypeError):
        return False  # compile will say so
    function = getattr(found, "fn", found)  # which Keras's classes wrap
    return getattr(function, "__name__", "") in _OF_NUMBERS


def loss_of(losses: Any, place: int, names: list[str]) -> Any:
    """The loss of one output, of what `compile` takes for all of them."""
    if isinstance(losses, Mapping):
        return losses.get(names[place])
    if isinstance(losses, (list, tuple)):
        return losses[place] if place < len(losses) else None
    return losses


def warn_of_numbers(name: str, other: str) -> None:
    """Say that numbers are compared as if they were classes.

    Args:
        name: Of the output.
        other: What compares them.
    """
    warnings.warn(
        f"{other} compares output {name!r} as logits of classes, and its loss is one of numbers: "
        "losses=ek.distillation.LogitMatching() in ek.distill is for these",
        stacklevel=4,
    )

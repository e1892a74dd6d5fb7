"""Holding a variable's value in a shape through `variable.constraint`.

Keras optimizers apply a variable's constraint inside the compiled train step, right after the
update. So a held weight is never out of shape: not in a checkpoint, not at the end of a batch.
"""

from collections.abc import Callable

import keras

Hold = Callable[[keras.KerasTensor], keras.KerasTensor]


class Held(keras.constraints.Constraint):
    """The user's own constraint, if any, followed by the holds that edgekit adds.

    Args:
        original: The user's own constraint, or None.
    """

    def __init__(self, original: Hold | None):
        self.original = original
        self.holds: list[Hold] = []

    def __call__(self, value):
        for constraint in ([self.original] if self.original else []) + self.holds:
            value = constraint(value)
        return value


class Mask(keras.constraints.Constraint):
    """Keeps a weight zero where `mask` is False."""

    def __init__(self, mask: keras.Variable):
        self.mask = mask

    def __call__(self, value):
        return keras.ops.where(self.mask, value, keras.ops.zeros_like(value))


def hold(variable: keras.Variable, constraint: Hold) -> None:
    """Add `constraint` to the variable, after those it has.

    Args:
        variable: What to hold.
        constraint: Maps the variable's value to the one it must have.
    """
    held = variable.constraint
    if not isinstance(held, Held):
        held = variable.constraint = Held(held)
    held.holds.append(constraint)


def release(variable: keras.Variable, constraint: Hold) -> None:
    """Take `constraint` off again, if it is there; with the last one gone the user's stands."""
    held = variable.constraint
    if isinstance(held, Held) and constraint in held.holds:
        held.holds.remove(constraint)
        if not held.holds:
            variable.constraint = held.original


def retrace_training(model: keras.Model) -> None:
    """Make the next train step see the constraints of now: a traced one holds those of then."""
    if model.compiled:
        model.make_train_function(force=True)

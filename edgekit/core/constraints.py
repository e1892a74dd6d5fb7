"""Holding a variable's value in a shape, whoever writes it while a model trains.

Keras optimizers apply a variable's constraint inside the compiled train step, right after the
update. All other hands write through `variable.assign`: callbacks that restore, load or average
weights, and train steps of one's own. Both ways lead through the holds here, and so do the moving
averages that an optimizer keeps of a held variable. What writes TensorFlow's own variables past
Keras is set right when the epoch ends, and when all callbacks have had their say.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf

from edgekit.core.optimizers import (
    each_average,
    follow_optimizers,
    forget_optimizers,
    has_own_apply,
    hooks_of,
    unhook,
)
from edgekit.core.running_fit import is_training

Pairs = Sequence[tuple[keras.Variable, "Hold"]]


class Hold(Protocol):
    """Maps a variable's value to one that it may have."""

    def __call__(self, value: Any) -> Any:
        """The value after a step of the optimizer."""

    def settle(self, value: Any) -> Any:
        """The value that others write, or an average of values: no step, so nothing moves."""

    def written(self, value: Any) -> None:
        """Others have written this value, settled, into the variable."""


class Mask(keras.constraints.Constraint):
    """Keeps a weight zero where `mask` is False."""

    def __init__(self, mask: keras.Variable):
        self.mask = mask

    def __call__(self, value):
        return keras.ops.where(self.mask, value, keras.ops.zeros_like(value))

    def settle(self, value):
        """The same: a mask does not ask who has written."""
        return self(value)

    def written(self, value) -> None:
        """Nothing follows from it."""


class Held(keras.constraints.Constraint):
    """The user's own constraint, if any, followed by the holds that edgekit adds.

    Args:
        original: The user's own constraint, or None.

    Attributes:
        altered: Whether other hands have written a value, outside of train steps, that the holds
            had to change.
    """

    def __init__(self, original: Callable | None):
        self.original = original
        self.holds: list[Hold] = []
        self.altered = False
        self.averages: list[keras.Variable] = []
        self._made = None

    def __call__(self, value):
        for constraint in ([self.original] if self.original else []) + self.holds:
            value = constraint(value)
        self._made = value
        return value

    def settle(self, value):
        """See `Hold`."""
        for constraint in self.holds:
            value = constraint.settle(value)
        return value

    def made(self, value) -> bool:
        """Whether this is the value that was just made for the optimizer: asked once."""
        made, self._made = self._made, None
        return value is made


def hold(model: keras.Model, pairs: Pairs) -> None:
    """Hold each variable by its constraint, after those it has, while the model trains.

    Args:
        model: The model that is about to train.
        pairs: `(variable, what holds it)`.
    """
    for variable, constraint in pairs:
        held = variable.constraint
        if not isinstance(held, Held):
            held = variable.constraint = Held(held)
            _guard(variable, model, held, is_average=False)
        held.holds.append(constraint)
    known = {id(variable): variable for variable, _ in pairs}

    def guard_average(variable, average) -> None:
        held = getattr(known.get(id(variable)), "constraint", None)
        if isinstance(held, Held) and not any(average is other for other in held.averages):
            held.averages.append(average)
            _guard(average, model, held, is_average=True)

    def see(optimizer) -> None:
        each_average(optimizer, guard_average)
        if has_own_apply(optimizer):
            hooks_of(optimizer).after[id(pairs)] = lambda: settle(pairs)

    follow_optimizers(model, id(pairs), see)


def release(model: keras.Model, pairs: Pairs) -> None:
    """Take the constraints off again; with the last one gone the user's stands."""
    for variable, constraint in pairs:
        held = variable.constraint
        if isinstance(held, Held) and constraint in held.holds:
            held.holds.remove(constraint)
            if not held.holds:
                variable.constraint = held.original
                for each in (variable, *held.averages):
                    vars(each).pop("assign", None)
    for optimizer in forget_optimizers(model, id(pairs)):
        unhook(optimizer, id(pairs))


def settle(pairs: Pairs) -> None:
    """Bring the variables into shape now, whatever has been written into them."""
    for variable, _ in pairs:
        variable.assign(variable.value)


def write(variable: keras.Variable, value: Any) -> None:
    """Write a value that is in shape already."""
    type(variable).assign(variable, value)


def altered(variables: Iterable[keras.Variable]) -> bool:
    """Whether others have written values that had to be changed, since `forget_altered`."""
    return any(held.altered for held in map(_held, variables) if held)


def forget_altered(variables: Iterable[keras.Variable]) -> None:
    """What was written until now is trained on."""
    for held in map(_held, variables):
        if held:
            held.altered = False


def retrace_training(model: keras.Model) -> None:
    """Make the next train step see the constraints of now: a traced one holds those of then."""
    if model.compiled:
        model.make_train_function(force=True)


def _held(variable) -> Held | None:
    return variable.constraint if isinstance(variable.constraint, Held) else None


def _guard(variable: keras.Variable, model: keras.Model, held: Held, is_average: bool) -> None:
    """Lead all that is written into the variable through the holds."""

    def assign(value):
        ours = not is_average and held.made(value)
        eager = tf.executing_eagerly()
        # An interrupted fit leaves the guard on until the next one; it must not act in between.
        shape = value.shape if hasattr(value, "shape") else np.shape(value)
        if ours or tuple(shape) != tuple(variable.shape):
            return type(variable).assign(variable, value)
        if eager and not is_training(model):
            return type(variable).assign(variable, value)
        given = tf.cast(tf.convert_to_tensor(value), variable.value.dtype)
        settled = held.settle(given)
        if eager and not is_average:
            held.altered |= not bool(tf.reduce_all((given == settled) | (given != given)))
        found = type(variable).assign(variable, settled)
        if not is_average:
            for constraint in held.holds:
                constraint.written(settled)
        return found

    # Past Keras's tracking of attributes, so that nothing of it remains.
    vars(variable)["assign"] = assign

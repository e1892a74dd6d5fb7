"""Distillation in several stages, each with the same data and compiled the same way."""

from collections.abc import Iterator, Mapping
from typing import Any

import keras

from edgekit.distillation.distill import distill


def taught(
    student: keras.Model,
    teacher: Any,
    losses: Any,
    student_weight: float,
    compiling: Mapping[str, Any],
    fitting: Mapping[str, Any],
) -> keras.callbacks.History:
    """Train a student by a teacher in one stage.

    Args:
        student: The student.
        teacher: Its teacher.
        losses: As in `ek.distill`.
        student_weight: As there.
        compiling: Arguments of `compile`; each stage begins with an optimizer that has not
            trained.
        fitting: Arguments of `fit`.

    Raises:
        ValueError: Data that can be read but once.
    """
    if isinstance(fitting.get("x"), Iterator):
        raise ValueError(
            "`fit`: x is a generator, which the first stage uses up: give arrays, a tf.data set or "
            "a keras.utils.PyDataset"
        )
    distiller = distill(student, teacher, losses, student_weight)
    distiller.compile(**anew(compiling))
    return distiller.fit(**fitting)


def anew(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments with a copy of the optimizer, which has a state; all else as it is.

    Example:
        >>> model.compile(**anew({"optimizer": keras.optimizers.Adam(0.01), "loss": "mse"}))
    """
    optimizer = arguments.get("optimizer")
    if not isinstance(optimizer, keras.optimizers.Optimizer):
        return dict(arguments)
    return {**arguments, "optimizer": _untrained(optimizer)}


def _untrained(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    schedule = getattr(optimizer, "_learning_rate", None)
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        return type(optimizer).from_config(optimizer.get_config())
    # Past the schedule's own configuration: one's own need not have any, nor be registered.
    vars(optimizer)["_learning_rate"] = None
    try:
        config = optimizer.get_config()
    finally:
        vars(optimizer)["_learning_rate"] = schedule
    return type(optimizer).from_config(config | {"learning_rate": schedule})


def check_arguments(compiling, fitting) -> None:
    """Refuse what is no dict of arguments.

    Raises:
        TypeError: It is not.
    """
    for name, value in (("compile", compiling), ("fit", fitting)):
        if not isinstance(value, Mapping):
            raise TypeError(
                f"`{name}` must be a dict of the arguments of `{name}`, such as "
                f"{_EXAMPLES[name]}. Received: {name}={value!r}"
            )


_EXAMPLES = {"compile": "{'optimizer': 'adam', 'loss': 'mse'}", "fit": "{'x': x, 'y': y}"}

"""Distillation in several stages, each with the same data and compiled the same way."""

from collections.abc import Mapping
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
        compiling: Arguments of `compile`; what has a state is copied, so that each stage begins
            with an optimizer that has not trained.
        fitting: Arguments of `fit`.
    """
    distiller = distill(student, teacher, losses, student_weight)
    distiller.compile(**anew(compiling))
    return distiller.fit(**fitting)


def anew(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Copies of optimizers, losses and metrics; names and numbers as they are.

    Example:
        >>> model.compile(**anew({"optimizer": keras.optimizers.Adam(0.01), "loss": "mse"}))
    """
    copied = (keras.optimizers.Optimizer, keras.losses.Loss, keras.metrics.Metric)

    def copy(value):
        if isinstance(value, copied):
            return type(value).from_config(value.get_config())
        if isinstance(value, Mapping):
            return {name: copy(inner) for name, inner in value.items()}
        return [copy(inner) for inner in value] if isinstance(value, (list, tuple)) else value

    return {name: copy(value) for name, value in arguments.items()}


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

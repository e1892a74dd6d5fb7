"""Teaching assistants: models of sizes in between, each taught by the one before."""

from collections.abc import Mapping, Sequence
from typing import Any

import keras

from edgekit.distillation.stages import check_arguments, taught


def teaching_assistants(
    models: Sequence[keras.Model],
    losses: Any = None,
    student_weight: float = 0.1,
    *,
    compile: Mapping[str, Any],
    fit: Mapping[str, Any],
) -> list[keras.callbacks.History]:
    """Train each model by the one before it, from a teacher down to the smallest student.

    A student far smaller than its teacher may learn more from one of a size in between.

    Example:
        >>> histories = ek.distillation.teaching_assistants(
        ...     [teacher, assistant, student],
        ...     compile={"optimizer": "adam", "loss": "sparse_categorical_crossentropy"},
        ...     fit={"x": x, "y": y, "epochs": 10},
        ... )

    Args:
        models: A trained teacher, then assistants, then the student; two or more.
        losses: Of each stage, as in `ek.distill`. Defaults to `None`: its default.
        student_weight: As there. Defaults to `0.1`.
        compile: Arguments of `compile` for each stage; optimizers are copied.
        fit: Arguments of `fit` for each stage.

    Returns:
        What `fit` returns, of each stage.

    Raises:
        TypeError: `models` are no list of Keras models, or `compile` and `fit` no dicts.
        ValueError: Fewer than two models, one twice, or what `ek.distill` refuses.

    Source: Mirzadeh et al. 2020, "Improved Knowledge Distillation via Teacher Assistant",
    arXiv 1902.03393.
    """
    check_arguments(compile, fit)
    sequence = isinstance(models, Sequence)
    if not sequence or not all(isinstance(model, keras.Model) for model in models):
        raise TypeError(f"`models` must be a list of Keras models. Received: models={models!r}")
    if len(models) < 2 or len(set(map(id, models))) < len(models):
        raise ValueError(
            "`models` must be a teacher and one student or more, each another model. "
            f"Received: {', '.join(model.name for model in models)}"
        )
    return [
        taught(student, teacher, losses, student_weight, compile, fit)
        for teacher, student in zip(models[:-1], models[1:], strict=True)
    ]

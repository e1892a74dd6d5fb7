"""Born-again networks: a model taught by one like itself, again and again."""

from collections.abc import Callable, Mapping
from typing import Any

import keras

from edgekit.core.adapted import copy_adapted
from edgekit.core.arguments import check_whole
from edgekit.core.trainable import trainable
from edgekit.distillation.soft_targets import SoftTargets
from edgekit.distillation.stages import check_arguments, taught


def born_again(
    model: keras.Model,
    generations: int = 2,
    losses: Any = None,
    student_weight: float = 0.5,
    *,
    compile: Mapping[str, Any],
    fit: Mapping[str, Any],
    make: Callable[[], keras.Model] | None = None,
) -> list[keras.Model]:
    """Train new models of the same architecture, each from new weights by the one before.

    Each generation tends to be a little better than its teacher, and all of them together, as an
    `ek.distillation.Ensemble`, better than any.

    Example:
        >>> nets = ek.distillation.born_again(
        ...     model,
        ...     generations=3,
        ...     compile={"optimizer": "adam", "loss": "sparse_categorical_crossentropy"},
        ...     fit={"x": x, "y": y, "epochs": 10},
        ... )
        >>> ensemble = ek.distillation.Ensemble(nets)

    Args:
        model: The first teacher, trained.
        generations: How many are born. Defaults to `2`.
        losses: Of each generation, as in `ek.distill`. Defaults to `None`: the paper's,
            `SoftTargets(1)`.
        student_weight: As there. Defaults to `0.5`: labels and teacher count alike.
        compile: Arguments of `compile` for each generation; optimizers are copied.
        fit: Arguments of `fit` for each generation.
        make: Makes an untrained model. Defaults to `None`: a clone of `model` with new weights.

    Returns:
        The new models, the last generation last.

    Raises:
        TypeError: `compile` and `fit` are no dicts.
        ValueError: `generations` below 1, or what `ek.distill` refuses.

    Source: Furlanello et al. 2018, "Born-Again Neural Networks", arXiv 1805.04770, section 3.
    """
    check_arguments(compile, fit)
    check_whole("generations", generations)
    losses = SoftTargets(1) if losses is None else losses
    born = [make() if make else _like(model) for _ in range(generations)]
    for teacher, student in zip([model, *born[:-1]], born, strict=True):
        taught(student, teacher, losses, student_weight, compile, fit)
    return born


def _like(model: keras.Model) -> keras.Model:
    try:
        new = keras.models.clone_model(model)
    except Exception as error:  # a subclassed model's configuration may be anything
        raise ValueError(
            f"{model.name!r} cannot be made anew from its configuration: pass `make`, a function "
            f"that gives an untrained one. {type(error).__name__}: {error}"
        ) from error
    if not new.built:
        raise ValueError(f"a clone of {model.name!r} has no weights: pass `make`, which gives one")
    copy_adapted(model, new)
    return trainable(new)

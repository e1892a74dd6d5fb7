"""`distill`: a student and a teacher, made ready to train."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import keras

from edgekit.distillation.alignment import aligned
from edgekit.distillation.distiller import Distiller
from edgekit.distillation.endings import LINEAR
from edgekit.distillation.ensemble import Ensemble
from edgekit.distillation.features import layer_named
from edgekit.distillation.function_teacher import FunctionTeacher
from edgekit.distillation.logit_matching import LogitMatching
from edgekit.distillation.model_pair import (
    check_inputs,
    check_outputs,
    check_student,
    check_teacher,
    warn_of_own_step,
)
from edgekit.distillation.output_activation import check_activation
from edgekit.distillation.outputs import Outputs, outputs_of
from edgekit.distillation.soft_targets import SoftTargets

Losses = keras.distillation.DistillationLoss | Sequence | Mapping[str, Any] | None


def distill(
    student: keras.Model,
    teacher: keras.Model | Sequence[keras.Model] | Callable[[Any], Any],
    losses: Losses = None,
    student_weight: float = 0.1,
    *,
    weights: float | Sequence[float] | None = None,
    student_activation: str | Sequence[str] | None = None,
    teacher_activation: str | Sequence[str] | None = None,
) -> Distiller:
    """A model that trains `student` to answer as `teacher` does.

    Compile and fit it as the student alone: the loss is λ · the student's own + (1 − λ) · that of
    the teacher's answers. Outputs may be logits or probabilities; models may have any widths. After
    the fit the student is what it was, trained. A `train_step` or `compute_loss` of its own does
    not run; a warning says so.

    Example:
        >>> distiller = ek.distill(student, teacher, ek.distillation.SoftTargets(temperature=4))
        >>> distiller.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> distiller.fit(x, y, validation_data=(x_val, y_val), epochs=10)
        >>> student.save("student.keras")

    Args:
        student: A built model; it trains.
        teacher: A built model with the same inputs, which stays as it is; for what is no Keras
            model, a function of a batch as a NumPy array, or an object with such a `predict` as a
            `.tflite` is; or a list of these, for an `ek.distillation.Ensemble` of them.
        losses: One or several of `ek.distillation`, or Keras's; or `{output name: losses}` where
            the student has several outputs. Defaults to `None`: `SoftTargets()` of every output
            that is a softmax or sigmoid, and of a single linear one with several classes, taken as
            logits; `LogitMatching()` of other linear ones. Where one of the models has more
            outputs than the other, those of a name that both have are compared.
        student_weight: λ, the weight of the student's own loss, from 0 to 1. Defaults to `0.1`.
        weights: One number per loss that it is multiplied with. Defaults to `None`: the loss's own.
        student_activation: What the student's output has been through: `"softmax"`, `"sigmoid"` or
            `"linear"`, or `"log_softmax"`, a list for several outputs. Defaults to `None`: found in
            what the model computes, whatever moves or rounds the values behind it, or in its
            answers; where these may be those of a sigmoid, it has to be told.
        teacher_activation: What the teacher's output has been through. Defaults to `None`: found
            in the same way.

    Returns:
        A `keras.distillation.Distiller`, to be compiled; its `student` is the model given.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: Models that are not built or do not fit each other, a teacher that would train
            too or has weights that are no numbers, outputs that may be a sigmoid's, a layer that
            does not exist, or a number out of its range.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
    """
    check_student(student)
    warn_of_own_step("student", student)
    _check_share(student_weight)
    own = _told("student_activation", student_activation, outputs_of(student))
    teacher = _as_model(teacher, student, own)
    check_teacher(teacher, student)
    check_inputs(student, teacher)
    theirs = _told("teacher_activation", teacher_activation, outputs_of(teacher))
    if isinstance(teacher, FunctionTeacher):
        teacher.check(theirs.ends)
    own, theirs = aligned(own, theirs)
    found, outputs = _listed(losses, own, own.places_in(theirs))
    _check_losses(found)
    _check_layers(found, student, teacher)
    _check_compared(found, outputs, own, theirs)
    return Distiller(
        teacher,
        student,
        found,
        _weights(weights, found),
        float(student_weight),
        outputs,
        own.activations,
        theirs.activations,
        (own, theirs),
    )


def _check_share(value) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(
            f"`student_weight` must be from 0 to 1. Received: student_weight={value!r}"
        )


def _as_model(teacher, student, outputs: Outputs) -> keras.Model:
    def one(each):
        return each if isinstance(each, keras.Model) else FunctionTeacher(each, student, outputs)

    if not isinstance(teacher, (list, tuple)):
        return one(teacher)
    return one(teacher[0]) if len(teacher) == 1 else Ensemble(list(map(one, teacher)))


def _told(argument: str, given, outputs: Outputs) -> Outputs:
    if given is None:
        return outputs
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"`{argument}` must be a name, or a list of them. Received: {given!r}")
    for value in found:
        check_activation(argument, value)
    if len(outputs) != len(found):
        raise ValueError(
            f"`{argument}` must have one entry for each of {len(outputs)} outputs. "
            f"Received: {argument}={given!r}"
        )
    return outputs.known_as(found)


def _listed(losses, outputs: Outputs, places) -> tuple[list, list[int | None]]:
    """The losses, and for each the number of its output, or None for all the teacher has."""
    if losses is None and any(place is not None for place in places):
        return _usual(outputs, places)
    if losses is None:
        return [SoftTargets()], [None]
    if not isinstance(losses, Mapping):
        found = list(losses) if isinstance(losses, (list, tuple)) else [losses]
        return found, [None] * len(found)
    names, found, places = outputs.names, [], []
    for name, value in losses.items():
        if name not in names:
            raise ValueError(
                f"`losses` names output {name!r}; the student's are: {', '.join(names)}"
            )
        several = list(value) if isinstance(value, (list, tuple)) else [value]
        found += several
        places += [names.index(name)] * len(several)
    return found, places


def _usual(outputs: Outputs, places) -> tuple[list, list[int | None]]:
    """Soft targets of classes; of single numbers, and beside classes, the numbers themselves."""
    losses, compared = [], [at for at, place in enumerate(places) if place is not None]
    for at in compared:
        end, shape = outputs.ends[at], outputs.shapes[at]
        numbers = end.kind == LINEAR and (end.mixed or len(outputs) > 1 or shape[-1] == 1)
        losses.append(LogitMatching() if numbers else SoftTargets())
    return losses, compared


def _check_losses(losses: list) -> None:
    if not losses:
        raise ValueError("`losses` must not be empty: leave it out for SoftTargets()")
    for loss in losses:
        if not isinstance(loss, keras.distillation.DistillationLoss):
            hint = ""
            if isinstance(loss, type) and issubclass(loss, keras.distillation.DistillationLoss):
                hint = f": did you mean {loss.__name__}()?"
            raise TypeError(
                "`losses` must be distillation losses, such as ek.distillation.SoftTargets(). "
                f"Received: {loss!r}{hint}"
            )


def _check_layers(losses, student, teacher) -> None:
    for loss in losses:
        for side, model in (("student_layer_name", student), ("teacher_layer_name", teacher)):
            name = getattr(loss, side, None)
            if name is not None:
                layer_named(model, name)


def _check_compared(losses, places, student: Outputs, teacher: Outputs) -> None:
    theirs = student.places_in(teacher)
    everything = [at for at, place in enumerate(theirs) if place is not None]
    chosen = [
        (loss, everything if place is None else [place])
        for loss, place in zip(losses, places, strict=True)
        if getattr(loss, "takes", "outputs") != "features"
    ]
    if chosen:
        check_outputs(student, teacher, {at for _, several in chosen for at in several})
    for loss, several in chosen:
        for at in several if getattr(loss, "takes", "") == "logits" else ():
            _check_output(loss, student, at)


def _check_output(loss, student: Outputs, at: int) -> None:
    name, end = student.names[at], student.ends[at]
    if end.mixed and loss.compares_classes:
        raise ValueError(
            f"{type(loss).__name__} compares classes, and parts of output {name!r} end in "
            "different activations: let the model give each part as an output of its own, or "
            "compare its values by LogitMatching()"
        )
    width = student.shapes[at][-1] if end.classes is None else end.classes.count
    loss.check_output(name, width, end.kind)


def _weights(weights, losses: list) -> list[float]:
    if weights is None:
        return [float(getattr(loss, "default_weight", 1.0)) for loss in losses]
    found = [weights] if isinstance(weights, Real) else list(weights)
    numbers = all(
        isinstance(w, Real) and not isinstance(w, bool) and 0 <= w < float("inf") for w in found
    )
    if not numbers or len(found) != len(losses):
        raise ValueError(
            f"`weights` must be {len(losses)} numbers, 0 or above, one per loss. "
            f"Received: weights={weights!r}"
        )
    return [float(weight) for weight in found]

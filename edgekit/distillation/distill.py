"""`distill`: a student and a teacher, made ready to train."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real
from typing import Any

import keras
from keras import tree

from edgekit.distillation.distiller import Distiller
from edgekit.distillation.ensemble import Ensemble
from edgekit.distillation.features import layer_named
from edgekit.distillation.function_teacher import FunctionTeacher
from edgekit.distillation.logit_matching import LogitMatching
from edgekit.distillation.output_activation import (
    LINEAR,
    SIGMOID,
    check_activation,
    matching_outputs,
    output_activations,
    output_names,
)
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
    the fit the student is what it was, trained.

    Example:
        >>> distiller = ek.distill(student, teacher, ek.distillation.SoftTargets(temperature=4))
        >>> distiller.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> distiller.fit(x, y, validation_data=(x_val, y_val), epochs=10)
        >>> student.save("student.keras")

    Args:
        student: A built model; it trains.
        teacher: A built model with the same inputs, which stays as it is; a list of models, for an
            `ek.distillation.Ensemble` of them; or, for what is no Keras model, a function of a
            batch as a NumPy array, or an object with such a `predict` as a `.tflite` is.
        losses: One or several of `ek.distillation`, or Keras's; or `{output name: losses}` where
            the student has several outputs. Defaults to `None`: `SoftTargets()` of every output
            that is a softmax or sigmoid, and of a single linear one with several classes, taken as
            logits; `LogitMatching()` of other linear ones.
        student_weight: λ, the weight of the student's own loss, from 0 to 1. Defaults to `0.1`.
        weights: One number per loss that it is multiplied with. Defaults to `None`: the loss's own.
        student_activation: What the student's output has been through: `"softmax"`, `"sigmoid"` or
            `"linear"`, a list for several outputs. Defaults to `None`: found in the model, or in
            its answers, where a sigmoid cannot be told from others.
        teacher_activation: Alike for the teacher's. Defaults to `None`: found in it, or in its
            answers.

    Returns:
        A `keras.distillation.Distiller`, to be compiled; its `student` is the model given.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: Models that are not built or do not fit each other, a layer that does not
            exist, or a number out of its range.

    Source: Hinton et al. 2015, "Distilling the Knowledge in a Neural Network", arXiv 1503.02531.
    """
    _check_student(student)
    _check_share(student_weight)
    teacher = _as_model(teacher, student)
    activations = _activations("student_activation", student_activation, student)
    taught = _activations("teacher_activation", teacher_activation, teacher)
    if isinstance(teacher, FunctionTeacher):
        teacher.check(taught)
    found, outputs = _listed(losses, student, activations)
    _check_fit(student, teacher, found, outputs, activations, taught)
    return Distiller(
        teacher,
        student,
        found,
        _weights(weights, found),
        float(student_weight),
        outputs,
        activations,
        taught,
    )


def _check_student(student) -> None:
    if not isinstance(student, keras.Model):
        raise TypeError(f"`student` must be a Keras 3 model. Received: {type(student).__name__}")
    if isinstance(student, keras.distillation.Distiller):
        raise ValueError("`student` is a Distiller: pass its `.student`")
    if not student.built:
        raise ValueError(
            f"student {student.name!r} has no weights yet: build it or call it on data first"
        )
    if not student.trainable_variables:
        raise ValueError(
            f"student {student.name!r} has nothing to train: all its layers are frozen "
            "(`layer.trainable = True` for each)"
        )


def _check_share(value) -> None:
    if isinstance(value, bool) or not isinstance(value, Real) or not 0 <= value <= 1:
        raise ValueError(
            f"`student_weight` must be from 0 to 1. Received: student_weight={value!r}"
        )


def _as_model(teacher, student) -> keras.Model:
    if isinstance(teacher, (list, tuple)):
        teacher = teacher[0] if len(teacher) == 1 else Ensemble(teacher)
    if not isinstance(teacher, keras.Model):
        teacher = FunctionTeacher(teacher, student)
    if isinstance(teacher, keras.distillation.Distiller):
        raise ValueError("`teacher` is a Distiller: pass its `.student`")
    if teacher is student:
        raise ValueError(
            "`teacher` is the student itself: pass a copy of it, as keras.models.clone_model makes"
        )
    if not teacher.built:
        raise ValueError(
            f"teacher {teacher.name!r} has no weights yet: build it or call it on data first"
        )
    return teacher


def _activations(argument: str, given, model) -> list[str]:
    if given is None:
        function = isinstance(model, FunctionTeacher)
        return model.answer_activations if function else output_activations(model)
    found = [given] if isinstance(given, str) else given
    if not isinstance(found, (list, tuple)):
        raise TypeError(f"`{argument}` must be a name, or a list of them. Received: {given!r}")
    for value in found:
        check_activation(argument, value)
    outputs = _shapes(model)
    if outputs and len(outputs) != len(found):
        raise ValueError(
            f"`{argument}` must have one entry for each of {len(outputs)} outputs. "
            f"Received: {argument}={given!r}"
        )
    return list(found)


def _listed(losses, student, activations) -> tuple[list, list[int | None]]:
    """The losses, and for each the number of its output, or None for all."""
    if losses is None:
        return _usual(student, activations)
    if not isinstance(losses, Mapping):
        found = list(losses) if isinstance(losses, (list, tuple)) else [losses]
        _check_losses(found)
        return found, [None] * len(found)
    names, found, outputs = output_names(student), [], []
    for name, value in losses.items():
        if name not in names:
            raise ValueError(
                f"`losses` names output {name!r}; the student's are: {', '.join(names)}"
            )
        several = list(value) if isinstance(value, (list, tuple)) else [value]
        found += several
        outputs += [names.index(name)] * len(several)
    _check_losses(found)
    return found, outputs


def _usual(student, activations: list[str]) -> tuple[list, list[int | None]]:
    """Soft targets of classes; of single numbers, and beside classes, the numbers themselves."""
    shapes = _shapes(student) or [(None, None)] * len(activations)
    losses = []
    for kind, shape in zip(activations, shapes, strict=True):
        numbers = kind == LINEAR and (len(activations) > 1 or shape[-1] == 1)
        losses.append(LogitMatching() if numbers else SoftTargets())
    return losses, list(range(len(activations)))


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


def _check_inputs(student, teacher) -> None:
    shapes = [
        [tuple(tensor.shape[1:]) for tensor in tree.flatten(model.inputs)]
        for model in (student, teacher)
        if getattr(model, "inputs", None)
    ]
    if len(shapes) < 2:
        return
    same = len(shapes[0]) == len(shapes[1])
    if not same or not all(_alike(*pair) for pair in zip(*shapes, strict=True)):
        raise ValueError(
            f"`student` takes samples of {shapes[0]} and `teacher` of {shapes[1]}: they must take "
            "the same; a function that changes them may be the teacher"
        )


def _alike(one: tuple, other: tuple) -> bool:
    """Whether two shapes can be one, where sizes may be open."""
    pairs = list(zip(one, other, strict=False))
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in pairs)


def _check_fit(student, teacher, losses, outputs, activations, taught) -> None:
    _check_inputs(student, teacher)
    for loss in losses:
        for side, model in (("student_layer_name", student), ("teacher_layer_name", teacher)):
            name = getattr(loss, side, None)
            if name is not None:
                layer_named(model, name)
    chosen = {
        place
        for loss, output in zip(losses, outputs, strict=True)
        if getattr(loss, "takes", "outputs") != "features"
        for place in (range(len(activations)) if output is None else [output])
    }
    if chosen and len(taught) != len(activations):
        raise ValueError(
            f"`teacher` has {len(taught)} outputs and `student` {len(activations)}: they must "
            "answer alike, or be compared by features only (Hints and others)"
        )
    shapes = _shapes(student), _shapes(teacher)
    for loss, output in zip(losses, outputs, strict=True):
        if getattr(loss, "takes", "") == "logits":
            for place in range(len(activations)) if output is None else [output]:
                loss.check_width(student, place, activations[place])
    order = matching_outputs(student, teacher) or range(len(taught))
    for place in sorted(chosen):
        one = shapes[0][place] if shapes[0] else None
        other = shapes[1][order[place]] if shapes[1] else None
        if one and other and not _alike(one[1:], other[1:]):
            raise ValueError(
                f"output {place} of `student` has shape {one} and that of `teacher` {other}: they "
                "must answer alike, or be compared by features only (Hints and others)"
            )
        kind = taught[order[place]]
        if (activations[place] == SIGMOID) != (kind == SIGMOID):
            raise ValueError(
                f"output {place} of `student` is {activations[place]} and that of `teacher` "
                f"{kind}: end both alike, or say so by `student_activation` and "
                "`teacher_activation`"
            )


def _shapes(model) -> list[tuple] | None:
    if isinstance(model, FunctionTeacher):
        return model.answer_shapes
    try:
        return [tuple(tensor.shape) for tensor in tree.flatten(model.outputs)] or None
    except (AttributeError, ValueError, TypeError):
        return None


def _weights(weights, losses: list) -> list[float]:
    if weights is None:
        return [float(getattr(loss, "default_weight", 1.0)) for loss in losses]
    found = [weights] if isinstance(weights, Real) else list(weights)
    numbers = all(isinstance(w, Real) and not isinstance(w, bool) and w >= 0 for w in found)
    if not numbers or len(found) != len(losses):
        raise ValueError(
            f"`weights` must be {len(losses)} numbers, 0 or above, one per loss. "
            f"Received: weights={weights!r}"
        )
    return [float(weight) for weight in found]

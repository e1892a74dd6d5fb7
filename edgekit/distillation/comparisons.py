"""What each loss compares, of a batch: features of layers, logits, or outputs as they are."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import tree

from edgekit.distillation.endings import LOG_SOFTMAX, SIGMOID, SOFTMAX
from edgekit.distillation.feature_sizes import one_extent
from edgekit.distillation.loss import sample_weights, without_masked
from edgekit.distillation.open_shapes import alike


@dataclass(frozen=True)
class Batch:
    """What is known of a batch while a step is traced.

    Attributes:
        answers: The teacher's, by name.
        labels: As they are given to `fit`.
        outputs: The student's.
        logits: Those of each of the student's outputs.
        sample_weight: As it is given to `fit`.
        features: `{layer name: what the student's layer puts out}`.
    """

    answers: dict[str, Any]
    labels: Any
    outputs: Any
    logits: list
    sample_weight: Any
    features: dict[str, Any]


def compared(distiller: keras.Model, number: int, batch: Batch) -> list:
    """The values of a distillation loss, one for each output that it compares.

    Args:
        distiller: An edgekit `Distiller`.
        number: Of the loss.
        batch: What is known of the batch.
    """
    loss = distiller.distillation_losses[number]
    if _of_features(loss):
        return [_between_features(loss, distiller.projections[number], batch)]
    if hasattr(loss, "takes"):
        return _between_outputs(distiller, number, batch)
    return [_of_keras(distiller, number, batch)]


def asks_for_outputs(loss: keras.distillation.DistillationLoss) -> bool:
    """Whether the loss compares outputs as they are, not the logits behind them."""
    return not hasattr(loss, "takes") or _of_features(loss)


def _between_features(loss, projection, batch: Batch):
    names = loss.teacher_layer_name, loss.student_layer_name
    teacher = _answer(batch.answers, "output 0" if names[0] is None else f"layer {names[0]}")
    outputs = tree.flatten(batch.outputs)
    student = outputs[0] if names[1] is None else batch.features[names[1]]
    if not hasattr(loss, "takes"):
        return loss.compute_loss(teacher, student)
    # Weights of several outputs are none of a layer.
    weights = None if tree.is_nested(batch.sample_weight) else batch.sample_weight
    if loss.has_places:
        weights = sample_weights(student, weights)
    else:
        teacher, student = without_masked(teacher, student)
    if loss.compares_places:
        teacher, student = one_extent(teacher, student)
    if projection is not None:
        student = projection(student)
    return loss.compute_loss(teacher, student, sample_weight=weights)


def _between_outputs(distiller, number: int, batch: Batch) -> list:
    loss, chosen = distiller.distillation_losses[number], distiller.distillation_outputs[number]
    students, places = tree.flatten(batch.outputs), distiller.teacher_places
    labels = _for_each(batch.labels, distiller.output_names)
    weights = _for_each(batch.sample_weight, distiller.output_names)
    found = []
    for place in distiller.places_compared(chosen):
        kind = distiller.student_activation[place]
        taught = distiller.teacher_activation[places[place]]
        both = _answer(batch.answers, f"logits {place}"), batch.logits[place]
        _check_shapes(*both)
        if kind == SIGMOID and not loss.takes_pairs:
            both = [logits[..., 0] for logits in both]
        found.append(
            loss.compute_loss(
                *both,
                labels=distiller.labels_last(place, labels[place]),
                softmax=bool({SOFTMAX, LOG_SOFTMAX} & {kind, taught}),
                sample_weight=sample_weights(students[place], weights[place]),
            )
        )
    return found


def _of_keras(distiller, number: int, batch: Batch):
    """One of Keras's losses, which knows of no weights; logits where it asks for them."""
    loss, chosen = distiller.distillation_losses[number], distiller.distillation_outputs[number]
    students, name = tree.flatten(batch.outputs), "output"
    if isinstance(loss, keras.distillation.LogitsDistillation):
        students, name = batch.logits, "logits"
    places = distiller.places_compared(chosen)
    teachers = [_answer(batch.answers, f"{name} {place}") for place in places]
    students = [students[place] for place in places]
    if name == "logits":
        for both in zip(teachers, students, strict=True):
            _check_shapes(*both)
    if chosen is not None:
        return loss.compute_loss(teachers[0], students[0])
    if len(places) == len(distiller.output_names):
        teachers, students = (
            tree.pack_sequence_as(batch.outputs, each) for each in (teachers, students)
        )
    return loss.compute_loss(teachers, students)


def _of_features(loss) -> bool:
    sides = ("student_layer_name", "teacher_layer_name")
    return any(getattr(loss, side, None) is not None for side in sides)


def _answer(answers: dict[str, Any], name: str):
    if name not in answers:
        raise ValueError(
            f"the stored answers have no {name!r}, which these losses need: they are another "
            "distiller's; use ask_once of this one"
        )
    return answers[name]


def _check_shapes(teacher, student) -> None:
    """Refuse answers of another shape, which would be stretched to fit; some are open till now."""
    if not alike(teacher.shape[1:], student.shape[1:]):
        raise ValueError(
            f"the teacher answers in shape {tuple(teacher.shape)}, the student in "
            f"{tuple(student.shape)}: they must answer alike"
        )
    if None in (*teacher.shape[1:], *student.shape[1:]):
        tf.debugging.assert_equal(
            tf.shape(teacher), tf.shape(student), "teacher and student answer in other shapes"
        )


def _for_each(structure, names: Sequence[str]) -> list:
    """One entry for each output: by its name, in the given order, or the same for all."""
    if isinstance(structure, Mapping) and any(name in structure for name in names):
        return [structure.get(name) for name in names]
    flat = tree.flatten(structure)
    return flat if len(flat) == len(names) else [structure] * len(names)

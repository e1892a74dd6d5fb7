"""Layers that a loss compares: whether they can be, and what makes them alike."""

from collections.abc import Sequence
from typing import Any

import keras

from edgekit.core.layer_calls import calls_of
from edgekit.distillation.feature_sizes import Shape, check_places, projection_to
from edgekit.distillation.features import layer_named
from edgekit.distillation.open_shapes import alike


def projections(
    losses: Sequence[Any], student: keras.Model, teacher: keras.Model
) -> list[keras.layers.Layer | None]:
    """For each loss the layer that gives the student's features the teacher's width, if needed.

    Args:
        losses: The distillation losses.
        student: The student.
        teacher: The teacher.

    Raises:
        ValueError: Features cannot be compared; the message names the layers.
    """
    compare = [_comparison(loss) for loss in losses]
    if not any(compare):
        return [None] * len(losses)
    shapes = _output_shapes(student), _output_shapes(teacher)
    found = []
    for loss, prepare in zip(losses, compare, strict=True):
        if prepare is None:
            found.append(None)
            continue
        names = loss.student_layer_name, loss.teacher_layer_name
        layers = layer_named(student, names[0]), layer_named(teacher, names[1])
        own, theirs = (shape[id(layer)] for shape, layer in zip(shapes, layers, strict=True))
        try:
            found.append(prepare(theirs, own))
        except ValueError as error:
            where = " and ".join(map(repr, names))
            raise ValueError(f"{type(loss).__name__} of layers {where}: {error}") from None
    return found


def _comparison(loss):
    if getattr(loss, "needs_one_size", False):
        return projection_to
    if getattr(loss, "compares_places", False):
        return check_places
    named = None not in (
        getattr(loss, "student_layer_name", None),
        getattr(loss, "teacher_layer_name", None),
    )
    return _same if named and type(loss) is keras.distillation.FeatureDistillation else None


def _same(teacher: Shape, student: Shape) -> None:
    if not alike(teacher[1:], student[1:]):
        raise ValueError(
            f"features of shapes {student} and {teacher} have to be alike; ek.distillation.Hints "
            "learns a projection"
        )


def _output_shapes(model: keras.Model) -> dict[int, Shape]:
    """`{id(layer): shape of its last output}`."""
    return {id(call.layer): (None, *call.output[1:]) for call in calls_of(model)[0]}

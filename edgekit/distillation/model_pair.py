"""Whether a student and a teacher fit each other."""

import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import tree

from edgekit.core.selection import all_layers, layer_path
from edgekit.distillation.endings import SIGMOID
from edgekit.distillation.open_shapes import alike
from edgekit.distillation.outputs import Outputs


def check_student(student: Any) -> None:
    """Refuse what cannot be trained.

    Raises:
        TypeError: It is no Keras model.
        ValueError: It has no weights, or none that train.
    """
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


def warn_of_own_step(argument: str, model: keras.Model, stacklevel: int = 3) -> None:
    """Say that a way of training is left that is the model's own.

    Args:
        argument: What the user calls the model.
        model: A model that is trained inside another.
        stacklevel: As of `warnings.warn`. Defaults to `3`.
    """
    own = [
        name
        for name in ("train_step", "compute_loss")
        if getattr(type(model), name) is not getattr(keras.Model, name)
    ]
    if own:
        warnings.warn(
            f"`{argument}` {model.name!r} has a {' and a '.join(own)} of its own "
            f"({type(model).__name__}), which do not run: it is trained by the loss that is "
            "compiled, the teacher's, and what its layers add by add_loss",
            stacklevel=stacklevel,
        )


def check_teacher(teacher: keras.Model, student: keras.Model) -> None:
    """Refuse a teacher that has nothing to say, or would change while its student learns.

    Raises:
        ValueError: It is no model by itself, has no weights or some that are no numbers, or has
            layers in common with the student that train.
    """
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
    trained = set(map(id, student.trainable_variables))
    for layer in all_layers(teacher):
        if any(id(variable) in trained for variable in layer.variables):
            raise ValueError(
                f"`teacher` and `student` share layer {layer_path(layer)!r}: the teacher would "
                "change as the student learns; pass a copy (keras.models.clone_model, and its "
                "weights), or freeze the layer"
            )
    for variable in teacher.variables:
        value = keras.ops.convert_to_numpy(variable)
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            raise ValueError(
                f"`teacher` has weights that are not finite in {variable.path!r}: NaN or infinity"
            )


def check_inputs(student: keras.Model, teacher: keras.Model) -> None:
    """Refuse models whose samples have different shapes, as far as these are known.

    Raises:
        ValueError: They have.
    """
    shapes = [
        [tuple(tensor.shape[1:]) for tensor in tree.flatten(model.inputs)]
        for model in (student, teacher)
        if getattr(model, "inputs", None)
    ]
    if len(shapes) < 2:
        return
    order = input_order(student, teacher)
    own = shapes[0] if order is None else [shapes[0][place] for place in order]
    same = len(own) == len(shapes[1])
    if not same or not all(alike(*pair) for pair in zip(own, shapes[1], strict=True)):
        raise ValueError(
            f"`student` takes samples of {shapes[0]} and `teacher` of {shapes[1]}: they must take "
            "the same; a function that changes them may be the teacher"
        )


def check_outputs(student: Outputs, teacher: Outputs, places: Iterable[int]) -> None:
    """Refuse outputs that cannot be compared.

    Args:
        student: What the student answers with.
        teacher: What the teacher answers with.
        places: The student's outputs that are compared.

    Raises:
        ValueError: The teacher does not have them, they have other shapes or activations, or it
            cannot be seen which activation they have.
    """
    order = student.places_in(teacher)
    if not places:
        raise ValueError(
            f"`teacher` has outputs {', '.join(teacher.names)} and `student` "
            f"{', '.join(student.names)}, of which none have the same name: name alike those that "
            "are compared (the layers they come from, or the keys of a dict), or compare features "
            "only (Hints and others)"
        )
    for place in sorted(places):
        if order[place] is None:
            raise ValueError(
                f"`teacher` has no output {student.names[place]!r} to compare that of `student` "
                f"with; it has: {', '.join(teacher.names)}"
            )
        one, other = student.shapes[place], teacher.shapes[order[place]]
        if not alike(one[1:], other[1:]):
            raise ValueError(
                f"output {place} of `student` has shape {one} and that of `teacher` {other}: they "
                "must answer alike, or be compared by features only (Hints and others)"
            )
        for name, outputs, at in (("student", student, place), ("teacher", teacher, order[place])):
            if outputs.doubtful[at]:
                raise ValueError(
                    f"output {at} of `{name}` has values between 0 and 1, which may be those of a "
                    f"sigmoid: say by {name}_activation whether it is 'sigmoid' or 'linear'"
                )
        classes = student.ends[place].classes, teacher.ends[order[place]].classes
        if None not in classes and not classes[0].same_as(classes[1]):
            raise ValueError(
                f"output {place} of `student` and that of `teacher` are softmaxes along different "
                "axes: they must answer alike"
            )
        kinds = student.activations[place], teacher.activations[order[place]]
        if (kinds[0] == SIGMOID) != (kinds[1] == SIGMOID):
            raise ValueError(
                f"output {place} of `student` is {kinds[0]} and that of `teacher` {kinds[1]}: end "
                "both alike, or say so by `student_activation` and `teacher_activation`"
            )


def input_order(student: keras.Model, teacher: keras.Model) -> list[int] | None:
    """For each of the teacher's inputs the student's of that name; None where they stand alike.

    Args:
        student: The student.
        teacher: The teacher.
    """
    names = []
    for model in (student, teacher):
        struct = getattr(model, "_inputs_struct", None)
        if not isinstance(struct, (list, tuple)) or any(map(tree.is_nested, struct)):
            return None  # a dict brings the names with it
        names.append([tensor.name for tensor in struct])
    own, other = names
    if own == other or len(set(own)) < len(own) or sorted(own) != sorted(other):
        return None
    return [own.index(name) for name in other]


def reordered(inputs: Any, order: list[int] | None) -> Any:
    """Inputs as `input_order` says; a dict stays."""
    if order is None or isinstance(inputs, Mapping):
        return inputs
    return [inputs[place] for place in order]

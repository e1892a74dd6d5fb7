"""A classifier distilled from files to a file, and what came of it."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np

from converters import Flatbuffer
from edgekit.core.files import write_beside
from edgekit.core.finite import check_finite_weights
from edgekit.distillation import Ensemble, SoftTargets, distill, narrow
from edgekit.distillation.endings import LINEAR, LOG_SOFTMAX, SIGMOID
from edgekit.distillation.outputs import outputs_of
from edgekit.pipeline.labelled import check_labelled
from edgekit.pipeline.progress import TrainingProgress


@dataclass(frozen=True)
class Distillation:
    """What a distillation was good for.

    Attributes:
        accuracy: `{"teacher", "student before", "student": share of the held-out samples}`.
        teacher_parameters: Of all teachers; None where one is a `.tflite`.
        student_parameters: Of the student.
        held_out: Samples that the accuracy was measured on.
    """

    accuracy: dict[str, float]
    teacher_parameters: int | None
    student_parameters: int
    held_out: int

    def to_dict(self) -> dict:
        """All of it for JSON."""
        return asdict(self)

    def table(self):
        """A rich table."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD)
        for name, justify in (("model", "left"), ("parameters", "right"), ("accuracy", "right")):
            table.add_column(name, justify=justify)
        teacher = "" if self.teacher_parameters is None else f"{self.teacher_parameters:,}"
        student = f"{self.student_parameters:,}"
        for name, value in self.accuracy.items():
            table.add_row(name, teacher if name == "teacher" else student, f"{value:.2%}")
        return table


@dataclass(frozen=True)
class Recipe:
    """How a student is made and trained.

    Attributes:
        width: Of a narrow copy of the teacher.
        depth: Of the narrow copy.
        temperature: Of the soft targets.
        student_weight: Of the labels.
        epochs: Of the fit.
        learning_rate: Of Adam, falling to zero by a cosine.
        batch_size: Of the fit.
        validation: Share of the samples, the last ones, that is held out.
        seed: Of new weights and of the order of the samples.
    """

    width: float = 0.5
    depth: float = 1.0
    temperature: float = 4.0
    student_weight: float = 0.1
    epochs: int = 10
    learning_rate: float = 1e-3
    batch_size: int = 32
    validation: float = 0.1
    seed: int = 0


def distill_and_compare(
    teachers: Sequence[keras.Model | Flatbuffer],
    student: keras.Model | None,
    data: tuple[np.ndarray, np.ndarray],
    out: Path,
    recipe: Recipe,
    on_progress: Callable[[int, int | None], None] = lambda done, total: None,
) -> Distillation:
    """Train a student on the first samples, save it, and compare on the last ones.

    Args:
        teachers: One or several.
        student: The student; None for a narrow copy of the first teacher.
        data: `(x, y)`, where y are class numbers or one-hot.
        out: Where the student goes.
        recipe: How it is trained.
        on_progress: Called as `on_progress(done, total)` after each step. Defaults to nothing.

    Raises:
        FloatingPointError: Training took weights of the student to NaN or infinity; no file is
            written.
        ValueError: A `.tflite` among several teachers or without a student, several outputs or a
            single linear one, labels that are none of such outputs, no samples to train on, or
            what `ek.distill` and `ek.narrow` refuse.
    """
    keras.utils.set_random_seed(recipe.seed)
    files = [teacher for teacher in teachers if isinstance(teacher, Flatbuffer)]
    if files and len(teachers) > 1:
        raise ValueError("several teachers have to be Keras models: a .tflite teaches alone")
    if files and student is None:
        raise ValueError("--student is needed: a .tflite cannot be made narrower")
    if student is None:
        student = narrow(teachers[0], recipe.width, recipe.depth)
    activation, width = _one_output(student)
    x, y = data
    check_labelled(x, y, activation, width)
    held = max(1, round(recipe.validation * len(x)))
    if held >= len(x):
        raise ValueError(f"--validation {recipe.validation} leaves no samples to train on")
    train, test = (x[:-held], y[:-held]), (x[-held:], y[-held:])
    teacher: Any = teachers[0] if len(teachers) == 1 else Ensemble(teachers)
    accuracy = {
        "teacher": _accuracy(teacher, test, activation),
        "student before": _accuracy(student, test, activation),
    }
    losses = SoftTargets(recipe.temperature)
    distiller = distill(student, teacher, losses, recipe.student_weight)
    steps = recipe.epochs * -(-len(train[0]) // recipe.batch_size)
    rate = keras.optimizers.schedules.CosineDecay(recipe.learning_rate, steps)
    loss = _loss(y, activation) if recipe.student_weight > 0 else None
    distiller.compile(keras.optimizers.Adam(rate), loss)
    distiller.fit(
        *train,
        batch_size=recipe.batch_size,
        epochs=recipe.epochs,
        verbose=0,
        callbacks=[TrainingProgress(on_progress)],
    )
    check_finite_weights(student, "this training")
    accuracy["student"] = _accuracy(student, test, activation)
    write_beside(out, student.save)
    sizes = None if files else sum(teacher.count_params() for teacher in teachers)
    return Distillation(accuracy, sizes, student.count_params(), held)


def _one_output(student) -> tuple[str, int]:
    """The activation and the width of a classifier's output."""
    told = outputs_of(student)
    if len(told) > 1:
        raise ValueError(
            f"the student has outputs {', '.join(told.names)}, and this is for classifiers with "
            "one: ek.distill teaches several"
        )
    if told.activations[0] == LINEAR and told.shapes[0][-1] == 1:
        raise ValueError("the student answers by one linear number: a classifier ends in a sigmoid")
    return told.activations[0], told.shapes[0][-1]


def _accuracy(model, data, activation: str) -> float:
    """The share of the samples that are answered rightly; of sigmoids that of yes and no."""
    x, y = data
    options = {} if isinstance(model, Flatbuffer) else {"verbose": 0}
    answers = np.asarray(model.predict(x, **options))
    if activation == SIGMOID:
        return float(np.mean((answers > 0.5) == (y.reshape(answers.shape) > 0.5)))
    labels = y.reshape(len(y)) if y.size == len(y) else y.argmax(-1)
    return float(np.mean(answers.argmax(-1) == labels))


def _loss(y: np.ndarray, activation: str) -> keras.losses.Loss:
    logits = {"from_logits": activation in (LINEAR, LOG_SOFTMAX)}
    if activation == SIGMOID:
        return keras.losses.BinaryCrossentropy()
    if y.size == len(y):
        return keras.losses.SparseCategoricalCrossentropy(**logits)
    return keras.losses.CategoricalCrossentropy(**logits)

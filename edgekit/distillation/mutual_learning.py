"""Mutual learning: students that teach each other."""

import threading
import warnings
from collections.abc import Sequence

import keras
from keras import ops

from edgekit.distillation.endings import LINEAR, watching
from edgekit.distillation.ensemble import check_models, common_ending
from edgekit.distillation.loss import replica_count, sample_weights
from edgekit.distillation.loss_kinds import of_numbers
from edgekit.distillation.model_pair import warn_of_own_step
from edgekit.distillation.outputs import outputs_of
from edgekit.distillation.soft_targets import SoftTargets, check_positive


@keras.saving.register_keras_serializable("edgekit")
class MutualLearning(keras.Model):
    """Two or more students in one fit, each taught by what the others answer.

    Each has its own loss and `weight` times the mean divergence from the others; what is minimised
    is the sum over the students. Compile and fit it as one student; metrics are means over all, and
    `predict` gives the mean of their outputs, which `evaluate` measures. The students are trained
    in place.

    Example:
        >>> both = ek.distillation.MutualLearning([small, large])
        >>> both.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> both.fit(x, y, epochs=10)
        >>> small.save("small.keras")

    Args:
        students: Built classifiers with the same inputs and one output of the same shape each, all
            of them logits or all of them probabilities.
        weight: Of the others' answers. Defaults to `1.0`.
        temperature: As in `SoftTargets`. Defaults to `1.0`, the paper's.

    Raises:
        TypeError: `students` are no Keras models.
        ValueError: Fewer than two, outputs that differ, a single linear output, or a number out of
            its range.

    Source: Zhang et al. 2018, "Deep Mutual Learning", arXiv 1706.00384, equations 5 and 8; the
    students take each step together.
    """

    def __init__(
        self,
        students: Sequence[keras.Model],
        weight: float = 1.0,
        temperature: float = 1.0,
        name: str = "mutual_learning",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        check_models("students", students)
        for student in students:
            warn_of_own_step("students", student)
        check_positive("weight", weight, zero=True)
        self.students, self.weight = list(students), float(weight)
        self.divergence = SoftTargets(temperature)
        told = [outputs_of(student) for student in students]
        self._end = common_ending("students", told)
        self.activation = self._end.kind
        width = told[0].shapes[0][-1] if self._end.classes is None else self._end.classes.count
        self.divergence.check_output(told[0].names[0], width, self.activation)
        self._step = _Step()
        self.built = all(student.built for student in students)

    def compile(self, optimizer="rmsprop", loss=None, **kwargs) -> None:
        """As one student."""
        if self.activation == LINEAR and of_numbers(loss):
            warnings.warn(
                "MutualLearning compares outputs as logits of classes, and the loss is one of "
                "numbers: it is for classifiers",
                stacklevel=2,
            )
        super().compile(optimizer=optimizer, loss=loss, **kwargs)

    def call(self, inputs, training=None):
        with watching() as computation:
            outputs = [student(inputs, training=training) for student in self.students]
        if not training:
            return sum(outputs) / len(outputs)
        self._step.logits = [self._end.logits(output, computation) for output in outputs]
        return outputs

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The sum of the students' losses; in evaluation the loss of their mean output."""
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight)
        # All but the first without what the layers add, which is in it already.
        own = super().compute_loss(x, y, y_pred[0], sample_weight)
        own += sum(self._compile_loss(y, output, sample_weight) for output in y_pred[1:])
        weights = [sample_weights(output, sample_weight) for output in y_pred]
        logits = self._step.logits
        taught = sum(
            self.divergence.compute_loss(
                ops.stop_gradient(other), logit, sample_weight=weights[number]
            )
            for number, logit in enumerate(logits)
            for place, other in enumerate(logits)
            if place != number
        )
        return own + self.weight * taught / ((len(y_pred) - 1) * replica_count())

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics over all students; in evaluation those of their mean output."""
        each = y_pred if isinstance(y_pred, list) else [y_pred]
        for output in each[:-1]:
            super().compute_metrics(x, y, output, sample_weight)
        return super().compute_metrics(x, y, each[-1], sample_weight)

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return {
            "name": self.name,
            "students": [keras.saving.serialize_keras_object(s) for s in self.students],
            "weight": self.weight,
            "temperature": self.divergence.temperature,
        }

    @classmethod
    def from_config(cls, config, custom_objects=None):
        """A model from `get_config`'s result."""
        deserialize = keras.saving.deserialize_keras_object
        students = [deserialize(each, custom_objects) for each in config["students"]]
        return cls(**config | {"students": students})


class _Step(threading.local):
    """The logits of a train step, while it is traced; replicas are traced in turns."""

    logits: list = []

"""Mutual learning: students that teach each other."""

from collections.abc import Sequence
from numbers import Real

import keras
from keras import ops

from edgekit.distillation.ensemble import check_models
from edgekit.distillation.loss import replica_count
from edgekit.distillation.output_activation import logits_of, output_activations
from edgekit.distillation.soft_targets import SoftTargets


@keras.saving.register_keras_serializable("edgekit")
class MutualLearning(keras.Model):
    """Two or more students in one fit, each taught by what the others answer.

    Each has its own loss and `weight` times the mean divergence from the others. Compile and fit it
    as one student; `loss` and metrics are means over all, and `predict` gives the mean of their
    outputs. The students are trained in place.

    Example:
        >>> both = ek.distillation.MutualLearning([small, large])
        >>> both.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        >>> both.fit(x, y, epochs=10)
        >>> small.save("small.keras")

    Args:
        students: Built classifiers with the same inputs and one output of the same shape.
        weight: Of the others' answers. Defaults to `1.0`.
        temperature: As in `SoftTargets`. Defaults to `1.0`, the paper's.

    Raises:
        TypeError: `students` are no Keras models.
        ValueError: Fewer than two, outputs that differ, or a number out of its range.

    Source: Zhang et al. 2018, "Deep Mutual Learning", arXiv 1706.00384, equations 5 and 8; the
    students of a step take it together.
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
        if isinstance(weight, bool) or not isinstance(weight, Real) or not weight >= 0:
            raise ValueError(f"`weight` must be 0 or above. Received: weight={weight!r}")
        self.students, self.weight = list(students), float(weight)
        self.divergence = SoftTargets(temperature)
        self._activations = [output_activations(student)[0] for student in students]
        self.built = all(student.built for student in students)

    def call(self, inputs, training=None):
        outputs = [student(inputs, training=training) for student in self.students]
        return outputs if training else sum(outputs) / len(outputs)

    def compute_loss(self, x=None, y=None, y_pred=None, sample_weight=None, training=True):
        """The mean of the students' losses; in evaluation that of their mean output."""
        if not training:
            return super().compute_loss(x, y, y_pred, sample_weight)
        # What the layers add is in each of them.
        own = [super(MutualLearning, self).compute_loss(x, y, o, sample_weight) for o in y_pred]
        pairs = zip(y_pred, self._activations, strict=True)
        logits = [logits_of(output, activation) for output, activation in pairs]
        taught = [
            self.divergence.compute_loss(
                ops.stop_gradient(other), logit, sample_weight=sample_weight
            )
            for number, logit in enumerate(logits)
            for place, other in enumerate(logits)
            if place != number
        ]
        others = len(y_pred) - 1
        taught = sum(taught) / (others * replica_count())
        return (sum(own) + self.weight * taught) / len(y_pred)

    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        """The metrics over all students; in evaluation those of their mean output."""
        each = y_pred if isinstance(y_pred, list) else [y_pred]
        return [super(MutualLearning, self).compute_metrics(x, y, o, sample_weight) for o in each][
            -1
        ]

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

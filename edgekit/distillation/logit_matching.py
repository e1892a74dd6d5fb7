"""Logits, or any outputs, that follow the teacher's."""

import keras
from keras import ops

from edgekit.distillation.loss import Loss


@keras.saving.register_keras_serializable("edgekit")
class LogitMatching(Loss):
    """The mean squared difference of the logits; for regression, that of the outputs.

    The limit of soft targets at high temperatures. A softmax leaves a sample's logits free by a
    constant: where one of the models ends in it, both are centred first.

    Example:
        >>> ek.distill(student, teacher, LogitMatching())

    Args:
        centred: Whether the mean over the classes is taken off, of the teacher's logits and the
            student's. Defaults to `None`: where `ek.distill` finds a softmax.

    Source: Ba and Caruana 2014, "Do Deep Nets Really Need to be Deep?", arXiv 1312.6184.
    """

    takes_pairs = False

    def __init__(self, centred: bool | None = None):
        self.centred = centred

    def per_sample(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of each sample and position: `(batch, …)` of logits `(batch, …, classes)`."""
        teacher = ops.cast(teacher_outputs, "float32")
        student = ops.cast(student_outputs, "float32")
        centred = kwargs.get("softmax", False) if self.centred is None else self.centred
        if centred:
            teacher = teacher - ops.mean(teacher, axis=-1, keepdims=True)
            student = student - ops.mean(student, axis=-1, keepdims=True)
        return ops.mean(ops.square(teacher - student), axis=-1)

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return {"centred": self.centred}

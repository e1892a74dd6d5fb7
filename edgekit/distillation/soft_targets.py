"""Soft targets: the teacher's probabilities, at a temperature."""

from numbers import Real

import keras
from keras import ops

from edgekit.distillation.endings import LINEAR
from edgekit.distillation.loss import Loss


@keras.saving.register_keras_serializable("edgekit")
class SoftTargets(Loss):
    """The Kullback-Leibler divergence from the teacher's softened probabilities to the student's.

    Both are softmax(z / T), and the divergence is multiplied with T², so that its gradients keep
    their size whatever the temperature. `ek.distill` finds the logits of outputs that are
    probabilities already.

    Example:
        >>> ek.distill(student, teacher, SoftTargets(temperature=4))

    Args:
        temperature: T, above 0: the higher, the more the small probabilities count. 2 to 5 for
            small students, up to 20 for large ones. Defaults to `4.0`.

    Raises:
        ValueError: `temperature` is not above 0.

    Source: Hinton, Vinyals and Dean 2015, arXiv 1503.02531, section 2.
    """

    compares_classes = True

    def __init__(self, temperature: float = 4.0):
        check_positive("temperature", temperature)
        self.temperature = float(temperature)

    def check_output(self, name: str, width: int | None, activation: str) -> None:
        """Refuse a single linear output, whose softmax is 1 whatever it is.

        Raises:
            ValueError: It is one.
        """
        check_classes(type(self).__name__, name, width, activation)

    def per_sample(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of each sample and position: `(batch, …)` of logits `(batch, …, classes)`."""
        teacher = ops.cast(teacher_outputs, "float32") / self.temperature
        student = ops.cast(student_outputs, "float32") / self.temperature
        return self.temperature**2 * divergence(teacher, student)

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return {"temperature": self.temperature}


def divergence(teacher, student):
    """KL(softmax(teacher) ‖ softmax(student)) along the last axis, by logarithms: exact at 0."""
    expected = ops.log_softmax(teacher, axis=-1)
    found = ops.log_softmax(student, axis=-1)
    return ops.sum(ops.exp(expected) * (expected - found), axis=-1)


def check_classes(loss: str, name: str, width: int | None, activation: str) -> None:
    """Refuse a single linear output where classes are compared.

    Args:
        loss: What compares them.
        name: Of the output.
        width: Its last size.
        activation: What it has been through.

    Raises:
        ValueError: It is one.
    """
    if activation == LINEAR and width == 1:
        raise ValueError(
            f"{loss} compares classes, and output {name!r} is one number: "
            "LogitMatching() is for that; end both models in a sigmoid if it is the logit of one"
        )


def check_positive(name: str, value: float, zero: bool = False) -> None:
    """Refuse what is no number above 0, or not below it where zero is allowed.

    Raises:
        ValueError: It is not.
    """
    number = isinstance(value, Real) and not isinstance(value, bool)
    if not number or not (value >= 0 if zero else value > 0) or value == float("inf"):
        least = "0 or above" if zero else "above 0"
        raise ValueError(f"`{name}` must be {least}. Received: {name}={value!r}")

"""Soft targets taken apart: the target class, and the others among themselves."""

import keras
from keras import ops

from edgekit.distillation.endings import SIGMOID
from edgekit.distillation.loss import Loss
from edgekit.distillation.soft_targets import check_classes, check_positive, divergence

# Takes a class out of a softmax.
_NEVER = -1e9


@keras.saving.register_keras_serializable("edgekit")
class Decoupled(Loss):
    """Decoupled knowledge distillation: how sure the teacher is, and how it ranks what is wrong.

    Soft targets weigh the second part by the teacher's doubt, which is smallest where it knows
    most. Here each has a weight of its own. Labels are needed, as class numbers or one-hot; of
    smoothed or mixed ones the largest counts, and those that are no class are left out.

    Example:
        >>> ek.distill(student, teacher, Decoupled(temperature=4, target=1, others=8))

    Args:
        temperature: As in `SoftTargets`. Defaults to `4.0`.
        target: Weight of the divergence of (target class, all others). Defaults to `1.0`.
        others: Weight of the divergence among the other classes. Defaults to `8.0`, the paper's
            for CIFAR-100.

    Raises:
        ValueError: A number out of its range.

    Source: Zhao et al. 2022, "Decoupled Knowledge Distillation", arXiv 2203.08679, equation 7.
    """

    needs_labels = True
    compares_classes = True

    def __init__(self, temperature: float = 4.0, target: float = 1.0, others: float = 8.0):
        check_positive("temperature", temperature)
        check_positive("target", target, zero=True)
        check_positive("others", others, zero=True)
        self.temperature = float(temperature)
        self.target, self.others = float(target), float(others)

    def check_output(self, name: str, width: int | None, activation: str) -> None:
        """Refuse a single linear output, and sigmoids, of which none is the one right class.

        Raises:
            ValueError: It is one of them.
        """
        check_classes(type(self).__name__, name, width, activation)
        if activation == SIGMOID:
            raise ValueError("Decoupled compares the right class with others: end in a softmax")

    def per_sample(self, teacher_outputs, student_outputs, labels=None, **kwargs):
        """The loss of each sample and position: `(batch, …)` of logits `(batch, …, classes)`."""
        teacher = ops.cast(teacher_outputs, "float32") / self.temperature
        student = ops.cast(student_outputs, "float32") / self.temperature
        chosen = one_hot(labels, teacher)
        sure = divergence(_two(teacher, chosen), _two(student, chosen))
        among = divergence(teacher + _NEVER * chosen, student + _NEVER * chosen)
        # A label that is no class, such as 255 for "ignore", leaves its place out of the mean.
        counts = ops.sum(chosen, axis=-1)
        counts *= ops.cast(ops.size(counts), "float32") / ops.maximum(ops.sum(counts), 1.0)
        return counts * self.temperature**2 * (self.target * sure + self.others * among)

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return {"temperature": self.temperature, "target": self.target, "others": self.others}


def one_hot(labels, logits):
    """Labels as a 1 in the place of the class, in the shape of the logits.

    Of labels that are shared among classes the largest; for a number that is no class no 1.
    """
    if labels is None:
        raise ValueError("labels are needed: fit(x, y), or a loss that does without them")
    labels = ops.convert_to_tensor(labels)
    if tuple(labels.shape[1:]) == tuple(logits.shape[1:]):
        some = ops.cast(ops.any(labels > 0, axis=-1, keepdims=True), "float32")
        return some * ops.one_hot(ops.argmax(labels, axis=-1), logits.shape[-1], dtype="float32")
    if len(labels.shape) == len(logits.shape):  # (batch, 1)
        labels = ops.squeeze(labels, -1)
    return ops.one_hot(ops.cast(labels, "int32"), logits.shape[-1], dtype="float32")


def _two(logits, chosen):
    """Logits of (the target class, any other)."""
    of_target = ops.sum(logits * chosen, axis=-1)
    of_others = ops.logsumexp(logits + _NEVER * chosen, axis=-1)
    return ops.stack([of_target, of_others], axis=-1)

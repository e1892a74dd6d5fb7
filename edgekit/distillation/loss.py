"""What edgekit's distillation losses have in common."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops


class Loss(keras.distillation.DistillationLoss):
    """A distance between what a teacher and a student compute.

    Each is a `keras.distillation.DistillationLoss` and does its work in Keras's own Distiller too,
    where outputs have to be logits and features of one size.

    Attributes:
        default_weight: What the loss is multiplied with where nothing else is asked for.
        takes: `"logits"` for outputs before their softmax or sigmoid, `"features"` for what two
            layers put out.
        compares_classes: Whether linear outputs are taken for logits of classes.
        needs_labels: Whether `compute_loss` has to be given `labels`.
        needs_one_size: Whether the student's features have to have the teacher's size, for which
            a projection is learned.
        compares_places: Whether the features of images have to have one height and width.
        has_places: Whether `per_sample` has a loss for each place, so that masked ones are left out
            of its mean; features at masked places are zeros in all other losses.
        takes_pairs: Whether a sigmoid's logit comes as a pair, that of yes and 0 for no.
    """

    default_weight = 1.0
    takes = "logits"
    compares_classes = False
    needs_labels = False
    needs_one_size = False
    compares_places = False
    has_places = False
    takes_pairs = True

    def compute_loss(self, teacher_outputs: Any, student_outputs: Any, **kwargs):
        """The loss over a batch, a scalar.

        Args:
            teacher_outputs: Of the teacher, `(batch, …)`.
            student_outputs: Of the student.
            **kwargs: `sample_weight`, broadcast to `per_sample`'s result, and `labels`.
        """
        return weighted_mean(
            self.per_sample(teacher_outputs, student_outputs, **kwargs),
            kwargs.get("sample_weight"),
        )

    def check_output(self, name: str, width: int | None, activation: str) -> None:
        """Refuse an output that the loss cannot compare.

        Args:
            name: Of the output.
            width: Its last size.
            activation: What it has been through.
        """

    def per_sample(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of each sample, and of each position where outputs have several."""
        raise NotImplementedError

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return {}

    @classmethod
    def from_config(cls, config: dict):
        """A loss from `get_config`'s result."""
        return cls(**config)


def weighted_mean(losses, weights=None):
    """The mean of losses, each times its weight, over their number, as Keras's losses have it."""
    if weights is None:
        return ops.mean(losses)
    weights = ops.cast(weights, losses.dtype)
    while len(weights.shape) > len(losses.shape):
        weights = ops.mean(weights, axis=-1)
    while len(weights.shape) < len(losses.shape):
        weights = ops.expand_dims(weights, -1)
    return ops.mean(losses * weights)


def flat(features):
    """`(batch, everything else)` in float32."""
    features = ops.cast(features, "float32")
    return ops.reshape(features, (ops.shape(features)[0], -1))


def sample_weights(outputs, weights):
    """Weights of samples and positions, with those that are masked left out of the mean.

    Args:
        outputs: The student's, with the mask Keras has put on them, if any.
        weights: Sample weights, or None.
    """
    mask = getattr(outputs, "_keras_mask", None)
    if mask is None:
        return weights
    mask = ops.cast(mask, "float32")
    kept = mask * ops.cast(ops.size(mask), "float32") / ops.maximum(ops.sum(mask), 1.0)
    if weights is None:
        return kept
    weights = ops.cast(weights, "float32")
    while len(weights.shape) < len(kept.shape):
        weights = ops.expand_dims(weights, -1)
    return weights * kept


def without_masked(teacher, student):
    """Features with zeros at the places that the student's mask leaves out, in both."""
    mask = getattr(student, "_keras_mask", None)
    if mask is None:
        return teacher, student
    return tuple(_masked(features, mask) for features in (teacher, student))


def _masked(features, mask):
    places = tuple(mask.shape[1:])
    if tuple(features.shape[1 : 1 + len(places)]) != places:
        return features  # the teacher's, with places of its own
    mask = ops.cast(mask, features.dtype)
    while len(mask.shape) < len(features.shape):
        mask = ops.expand_dims(mask, -1)
    return features * mask


def replica_count() -> int:
    """How many replicas add up their gradients: each of their losses is a part of that many.

    Keras divides its own losses so where it takes their mean.
    """
    return tf.distribute.get_strategy().num_replicas_in_sync

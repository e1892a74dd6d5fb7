"""Similarity-preserving distillation: which samples of a batch are alike."""

import keras
from keras import ops

from edgekit.distillation.feature_loss import FeatureLoss
from edgekit.distillation.loss import flat


@keras.saving.register_keras_serializable("edgekit")
class SimilarityPreserving(FeatureLoss):
    """The squared difference of the similarities between samples, in the student and the teacher.

    Layers may have any sizes. A sample is compared with all others of its batch, so sample weights
    do not count.

    Example:
        >>> ek.distill(student, teacher, [SoftTargets(), SimilarityPreserving("gap", "features")])

    Args:
        student_layer: Name or path of the student's layer.
        teacher_layer: That of the teacher's. Defaults to `None`: the same name.

    Raises:
        TypeError: A name is no string.

    Source: Tung and Mori 2019, arXiv 1907.09682, equations 1 to 4; the weight, 3000, is theirs.
    """

    default_weight = 3000.0

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss over a batch, a scalar."""
        return ops.mean(ops.square(_similarities(teacher_outputs) - _similarities(student_outputs)))


def _similarities(features):
    features = flat(features)
    return ops.normalize(features @ ops.transpose(features), axis=-1, order=2)

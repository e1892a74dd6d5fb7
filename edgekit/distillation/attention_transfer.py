"""Attention transfer: where in the image a layer responds."""

import keras
from keras import ops

from edgekit.distillation.feature_loss import FeatureLoss
from edgekit.distillation.loss import flat


@keras.saving.register_keras_serializable("edgekit")
class AttentionTransfer(FeatureLoss):
    """The mean squared difference of attention maps: squared features, summed over the channels.

    Maps have length 1, so layers of any width can be compared. Images of different height and
    width are averaged down to the smaller by `ek.distill`.

    Example:
        >>> pairs = [("add_1", "stage_1"), ("add_2", "stage_2")]
        >>> ek.distill(student, teacher, [AttentionTransfer(s, t) for s, t in pairs])

    Args:
        student_layer: Name or path of the student's layer, with output `(batch, …, channels)`.
        teacher_layer: That of the teacher's. Defaults to `None`: the same name.

    Raises:
        TypeError: A name is no string.

    Source: Zagoruyko and Komodakis 2017, arXiv 1612.03928, section 3.1; the weight, 1000, is that
    of their code.
    """

    default_weight = 1000.0
    compares_places = True

    def per_sample(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of each sample, `(batch,)`."""
        return ops.mean(ops.square(_map(teacher_outputs) - _map(student_outputs)), axis=-1)


def _map(features):
    if len(features.shape) < 3:
        raise ValueError(
            f"AttentionTransfer compares places, and features of shape {tuple(features.shape)} "
            "have none: Hints are for these"
        )
    squares = ops.sum(ops.square(ops.cast(features, "float32")), axis=-1)
    return ops.normalize(flat(squares), axis=-1, order=2)

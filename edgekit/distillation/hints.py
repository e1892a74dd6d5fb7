"""Hints: features of the student that can be turned into the teacher's."""

import keras
from keras import ops

from edgekit.distillation.feature_loss import FeatureLoss


@keras.saving.register_keras_serializable("edgekit")
class Hints(FeatureLoss):
    """The mean squared difference between features, the student's in the teacher's size.

    Where the widths differ `ek.distill` learns a projection, a dense layer over the channels, with
    the student, and throws it away with the teacher. Images of different height and width are
    averaged down to the smaller.

    Example:
        >>> ek.distill(student, teacher, [SoftTargets(), Hints("conv_2", "block_4_conv")])

    Args:
        student_layer: Name or path of the student's layer.
        teacher_layer: That of the teacher's. Defaults to `None`: the same name.

    Raises:
        TypeError: A name is no string.

    Source: Romero et al. 2015, "FitNets: Hints for Thin Deep Nets", arXiv 1412.6550, equation 3.
    """

    needs_one_size = compares_places = has_places = True

    def per_sample(self, teacher_outputs, student_outputs, **kwargs):
        """The loss of each sample and place: `(batch, …)` of features `(batch, …, channels)`."""
        teacher, student = (
            ops.cast(features, "float32") for features in (teacher_outputs, student_outputs)
        )
        return ops.mean(ops.square(teacher - student), axis=-1)

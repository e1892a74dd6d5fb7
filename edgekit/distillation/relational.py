"""Relational distillation: distances and angles between samples."""

import keras
from keras import ops

from edgekit.distillation.feature_loss import FeatureLoss
from edgekit.distillation.loss import flat
from edgekit.distillation.soft_targets import check_positive

_TINY = 1e-12


@keras.saving.register_keras_serializable("edgekit")
class Relational(FeatureLoss):
    """Distances of pairs and angles of triplets of samples follow the teacher's.

    Layers may have any sizes. Angles take batch³ numbers: 8 MB at batches of 128. A sample is
    compared with all others of its batch, so sample weights do not count.

    Example:
        >>> ek.distill(student, teacher, [SoftTargets(), Relational("embedding")])

    Args:
        student_layer: Name or path of the student's layer.
        teacher_layer: That of the teacher's. Defaults to `None`: the same name.
        distance: Weight of the distances. Defaults to `25.0`, the paper's for classification.
        angle: Weight of the angles. Defaults to `50.0`.

    Raises:
        TypeError: A name is no string.
        ValueError: A weight below 0.

    Source: Park et al. 2019, "Relational Knowledge Distillation", arXiv 1904.05068, section 3.2.
    """

    def __init__(
        self,
        student_layer: str,
        teacher_layer: str | None = None,
        distance: float = 25.0,
        angle: float = 50.0,
    ):
        super().__init__(student_layer, teacher_layer)
        check_positive("distance", distance, zero=True)
        check_positive("angle", angle, zero=True)
        self.distance, self.angle = float(distance), float(angle)

    def compute_loss(self, teacher_outputs, student_outputs, **kwargs):
        """The loss over a batch, a scalar."""
        teacher, student = _centred(teacher_outputs), _centred(student_outputs)
        loss = ops.zeros(())
        if self.distance:
            loss += self.distance * _huber(_distances(teacher), _distances(student))
        if self.angle:
            loss += self.angle * _huber(_angles(teacher), _angles(student))
        return loss

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return super().get_config() | {"distance": self.distance, "angle": self.angle}


def _centred(features):
    """Flat features about their mean: a far one would cost the products their last digits."""
    features = flat(features)
    return features - ops.mean(features, axis=0)


def _squared_distances(features):
    squares = ops.sum(ops.square(features), axis=-1)
    products = features @ ops.transpose(features)
    squared = ops.maximum(squares[:, None] + squares[None] - 2 * products, _TINY)
    return squared * (1 - ops.eye(ops.shape(features)[0])), products


def _distances(features):
    """Distances between samples, in units of their mean."""
    squared, _ = _squared_distances(features)
    # No gradient flows into the root of 0.
    apart = squared > 0
    distances = ops.where(apart, ops.sqrt(ops.where(apart, squared, 1.0)), 0.0)
    pairs = ops.sum(ops.cast(apart, "float32"))
    return distances / (ops.sum(distances) / ops.maximum(pairs, 1.0) + _TINY)


def _angles(features):
    """Cosines of the angles at the first of each three samples, from their products alone."""
    squared, products = _squared_distances(features)
    own = ops.diagonal(products)
    # (a − j)·(b − j) for a corner j
    dots = products[None] - products[:, :, None] - products[:, None] + own[:, None, None]
    apart = ops.cast(squared > 0, "float32")
    inverse = apart / ops.sqrt(squared + _TINY)
    return dots * inverse[:, :, None] * inverse[:, None]


def _huber(expected, found):
    difference = ops.abs(expected - found)
    return ops.mean(ops.where(difference < 1, 0.5 * ops.square(difference), difference - 0.5))

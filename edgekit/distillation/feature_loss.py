"""Losses between what a layer of the student and one of the teacher put out."""

from edgekit.distillation.loss import Loss


class FeatureLoss(Loss):
    """A distance between features.

    Args:
        student_layer: Name or path of the student's layer, nested ones too.
        teacher_layer: That of the teacher's. Defaults to `None`: the same name.

    Raises:
        TypeError: A name is no string.
    """

    takes = "features"

    def __init__(self, student_layer: str, teacher_layer: str | None = None):
        for name, value in (("student_layer", student_layer), ("teacher_layer", teacher_layer)):
            if not isinstance(value, str) and not (name == "teacher_layer" and value is None):
                raise TypeError(f"`{name}` must be a layer's name. Received: {name}={value!r}")
        # Keras's own Distiller looks for these names.
        self.student_layer_name = student_layer
        self.teacher_layer_name = student_layer if teacher_layer is None else teacher_layer

    def get_config(self) -> dict:
        """The arguments it was made with."""
        return {
            "student_layer": self.student_layer_name,
            "teacher_layer": self.teacher_layer_name,
        }

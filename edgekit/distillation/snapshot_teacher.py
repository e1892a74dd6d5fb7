"""Self-distillation: a student taught by what it was some epochs ago."""

from numbers import Real

import keras

from edgekit.core.arguments import check_whole
from edgekit.core.next_fit import before_next_fit, fit_ended
from edgekit.distillation.distiller import Distiller


class SnapshotTeacher(keras.callbacks.Callback):
    """Makes the teacher the student of a while ago, or a running average of it.

    For an `ek.distill` whose teacher is a clone of the student. Until the first snapshot the
    student learns from labels alone.

    Example:
        >>> distiller = ek.distill(student, keras.models.clone_model(student), student_weight=0.5)
        >>> distiller.compile("adam", "sparse_categorical_crossentropy")
        >>> distiller.fit(x, y, epochs=20, callbacks=[ek.distillation.SnapshotTeacher(every=2)])

    Args:
        every: Epochs between two snapshots. Defaults to `1`.
        decay: What remains of the teacher at a snapshot, from 0 to below 1; 0.9 makes it a running
            average ("mean teacher"). Defaults to `0.0`: the teacher becomes the student.
        begin: Epochs before the first snapshot. Defaults to `1`.

    Raises:
        ValueError: A number out of its range; when the fit begins, a model that `ek.distill` did
            not make, or a teacher of another architecture.

    Source: Yang et al. 2019, "Snapshot Distillation", arXiv 1812.00123; Tarvainen and Valpola 2017,
    "Mean teachers", arXiv 1703.01780.
    """

    def __init__(self, every: int = 1, decay: float = 0.0, begin: int = 1):
        super().__init__()
        check_whole("every", every)
        check_whole("begin", begin)
        if isinstance(decay, bool) or not isinstance(decay, Real) or not 0 <= decay < 1:
            raise ValueError(f"`decay` must be from 0 to below 1. Received: decay={decay!r}")
        self.every, self.decay, self.begin = int(every), float(decay), int(begin)

    def on_train_begin(self, logs=None):
        if not isinstance(self.model, Distiller):
            raise ValueError("SnapshotTeacher is for a model that ek.distill made")
        shapes = [
            [tuple(variable.shape) for variable in model.weights]
            for model in (self.model.student, self.model.teacher)
        ]
        if shapes[0] != shapes[1]:
            raise ValueError(
                "SnapshotTeacher needs a teacher with the student's architecture: "
                "ek.distill(student, keras.models.clone_model(student))"
            )

        if self.model.student_loss_weight == 0 and self.model._compile_loss is None:
            raise ValueError(
                "SnapshotTeacher needs labels until its first snapshot: `student_weight` above 0 "
                "in ek.distill, and a `loss`"
            )
        self.model.teacher_changes = True
        before_next_fit(self, self._teach_again)

    def on_epoch_begin(self, epoch, logs=None):
        # By the epoch, and before it, so that a fit that is resumed from a backup goes on alike.
        self.model.strength.assign(float(epoch >= self.begin))
        if epoch < self.begin or (epoch - self.begin) % self.every:
            return
        decay = self.decay if epoch > self.begin else 0.0
        pairs = zip(self.model.teacher.weights, self.model.student.weights, strict=True)
        for old, new in pairs:
            value = keras.ops.convert_to_tensor(new)
            if decay and keras.backend.is_float_dtype(old.dtype):
                value = decay * keras.ops.convert_to_tensor(old) + (1 - decay) * value
            old.assign(value)

    def on_train_end(self, logs=None):
        self._teach_again()
        fit_ended(self)

    def _teach_again(self) -> None:
        self.model.teacher_changes = False
        self.model.strength.assign(1.0)

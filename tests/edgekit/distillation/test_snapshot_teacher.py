import keras
import numpy as np
import pytest

import edgekit as ek
from tests.edgekit.distillation.conftest import LOSS, make_net

D = ek.distillation


class Remember(keras.callbacks.Callback):
    """The student's and the teacher's weights, and how strong the teacher is, at each epoch."""

    def __init__(self):
        super().__init__()
        self.students, self.teachers, self.strengths = [], [], []

    def on_epoch_begin(self, epoch, logs=None):
        self.strengths.append(float(self.model.strength))

    def on_epoch_end(self, epoch, logs=None):
        self.students.append(self.model.student.get_weights())
        self.teachers.append(self.model.teacher.get_weights())


def run(data, snapshots, epochs=5):
    student = make_net(4)
    distiller = ek.distill(student, keras.models.clone_model(student), student_weight=0.5)
    distiller.compile("adam", LOSS)
    seen = Remember()
    distiller.fit(*data, epochs=epochs, verbose=0, callbacks=[snapshots, seen])
    return distiller, seen


def equal(one, other):
    return all(np.array_equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_teacher_is_the_student_of_so_many_epochs_ago(data):
    distiller, seen = run(data, D.SnapshotTeacher(every=2, begin=1))
    assert seen.strengths == [0, 1, 1, 1, 1]
    for epoch, snapshot in enumerate([None, 0, 0, 2, 2]):
        if snapshot is not None:
            assert equal(seen.teachers[epoch], seen.students[snapshot])
    assert float(distiller.strength) == 1


def test_until_the_first_snapshot_labels_alone_teach(data):
    student = make_net(4)
    twin = keras.models.clone_model(student)
    twin.set_weights(student.get_weights())
    distiller = ek.distill(student, keras.models.clone_model(student), student_weight=0.1)
    distiller.compile(keras.optimizers.SGD(0.1), LOSS)
    options = {"epochs": 2, "verbose": 0, "shuffle": False}
    distiller.fit(*data, callbacks=[D.SnapshotTeacher(begin=2)], **options)
    twin.compile(keras.optimizers.SGD(0.1), LOSS)
    twin.fit(*data, **options)
    for one, other in zip(student.get_weights(), twin.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5)


def test_a_running_average(data):
    _, seen = run(data, D.SnapshotTeacher(decay=0.75), epochs=4)
    expected = seen.students[0]
    for epoch in (1, 2):
        pairs = zip(expected, seen.students[epoch], strict=True)
        expected = [0.75 * old + 0.25 * new for old, new in pairs]
        for one, other in zip(seen.teachers[epoch + 1], expected, strict=True):
            np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_bad_arguments_and_models_are_refused(data):
    for bad in ({"every": 0}, {"begin": 1.5}, {"decay": 1}, {"decay": -0.1}):
        ((name, value),) = bad.items()
        with pytest.raises(ValueError, match=f"{name}={value}"):
            D.SnapshotTeacher(**bad)
    net = make_net(4)
    net.compile("adam", LOSS)
    with pytest.raises(ValueError, match="a model that ek.distill made"):
        net.fit(*data, verbose=0, callbacks=[D.SnapshotTeacher()])
    alone = ek.distill(net, keras.models.clone_model(net), student_weight=0)
    alone.compile("adam")
    with pytest.raises(ValueError, match="needs labels until its first snapshot"):
        alone.fit(*data, verbose=0, callbacks=[D.SnapshotTeacher()])
    distiller = ek.distill(net, make_net(5))
    distiller.compile("adam", LOSS)
    with pytest.raises(ValueError, match="the student's architecture"):
        distiller.fit(*data, verbose=0, callbacks=[D.SnapshotTeacher()])


def test_after_an_interrupt_the_teacher_is_back_in_the_next_fit(data):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raise KeyboardInterrupt

    student = make_net(4)
    distiller = ek.distill(student, keras.models.clone_model(student))
    distiller.compile("adam", LOSS)
    with pytest.raises(KeyboardInterrupt):
        distiller.fit(*data, verbose=0, callbacks=[D.SnapshotTeacher(), Interrupt()])
    assert float(distiller.strength) == 0
    distiller.fit(*data, verbose=0)
    assert float(distiller.strength) == 1


def test_stored_answers_and_backups(data, tmp_path):
    student = make_net(4)
    distiller = ek.distill(student, keras.models.clone_model(student))
    distiller.compile("adam", LOSS)
    taught = distiller.ask_once(data[0], tmp_path / "answers", verbose=False)
    with pytest.raises(ValueError, match="SnapshotTeacher changes the teacher"):
        distiller.fit(taught, data[1], verbose=0, callbacks=[D.SnapshotTeacher()])

    class Killed(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            if epoch == 2:
                raise KeyboardInterrupt

    def trained(*more):
        keras.utils.set_random_seed(1)
        student = make_net(4)
        distiller = ek.distill(student, keras.models.clone_model(student), student_weight=0.5)
        distiller.compile("adam", LOSS)
        backup = keras.callbacks.BackupAndRestore(tmp_path / f"backup_{len(more)}")
        callbacks = [backup, D.SnapshotTeacher(2)]
        options = {"epochs": 5, "verbose": 0, "shuffle": False}
        if more:
            with pytest.raises(KeyboardInterrupt):
                distiller.fit(*data, callbacks=[*callbacks, *more], **options)
        distiller.fit(*data, callbacks=callbacks, **options)
        return student.get_weights()

    for one, other in zip(trained(), trained(Killed()), strict=True):
        np.testing.assert_array_equal(one, other)

import json

import keras
import numpy as np
import pytest
import tensorflow as tf

import edgekit as ek
from edgekit.distillation.stored_answers import _FACTS
from tests.edgekit.distillation.conftest import LOSS, make_net

D = ek.distillation


class Counting:
    """A teacher that counts how many samples it was asked about."""

    def __init__(self, net):
        self.net, self.samples = net, 0

    def predict(self, x):
        self.samples += len(x)
        return self.net(x).numpy()


def trained(distiller, x, y=None, epochs=3):
    distiller.compile(keras.optimizers.Adam(0.01), LOSS)
    distiller.fit(x, y, epochs=epochs, batch_size=None if y is None else 32, verbose=0)
    return distiller.student.get_weights()


def make(teacher, losses=None):
    keras.utils.set_random_seed(0)
    return ek.distill(make_net(4), teacher, losses)


def test_stored_answers_teach_as_the_teacher_does(data, tmp_path):
    x, y = data
    losses = [D.SoftTargets(), D.Hints("conv"), D.SimilarityPreserving("gap")]
    teacher = make_net(9, name="teacher")
    expected = trained(make(teacher, losses), x, y)
    distiller = make(teacher, losses)
    taught = distiller.ask_once(x, tmp_path / "answers", verbose=False)
    for one, other in zip(trained(distiller, taught, y), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)


def test_the_teacher_is_asked_once_for_each_sample(data, tmp_path):
    x, y = data
    teacher = Counting(make_net(9))
    taught = make(teacher).ask_once(x, tmp_path / "answers", verbose=False)
    asked = teacher.samples
    assert asked <= len(x) + 80  # and to know it again
    distiller = make(teacher)
    start = teacher.samples
    trained(distiller, taught, y)
    assert teacher.samples == start
    make(teacher).ask_once(x, tmp_path / "answers", verbose=False)
    assert teacher.samples - start < 80


def test_other_data_and_other_teachers_are_asked_anew(data, tmp_path):
    x, _ = data
    nets = [make_net(9) for _ in range(2)]
    found = []
    for net, inputs in ((nets[0], x), (nets[1], x), (nets[1], x[::-1]), (nets[1], x[:50])):
        taught = make(net).ask_once(inputs, tmp_path / "answers", verbose=False)
        found.append(np.array(taught.answers["logits 0"]))
        probabilities = keras.ops.softmax(found[-1])
        np.testing.assert_allclose(probabilities, net.predict(inputs, verbose=0), atol=1e-5)
    assert len(list(tmp_path.iterdir())) == 1


def test_a_tf_data_set(data, tmp_path):
    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    teacher = Counting(make_net(9))
    expected = trained(make(teacher), batches)
    distiller = make(teacher)
    taught = distiller.ask_once(batches, tmp_path / "answers", verbose=False)
    start = teacher.samples
    for one, other in zip(trained(distiller, taught), expected, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-5)
    mixed = taught.unbatch().shuffle(128).batch(16)
    trained(distiller, mixed, epochs=1)
    assert teacher.samples == start
    assert int(taught.cardinality()) == 4
    again = make(teacher).ask_once(batches, tmp_path / "answers", verbose=False)
    assert teacher.samples - start <= 2 + 8 + 32  # to see what it answers, and to know it again
    assert int(again.cardinality()) == 4


def test_validation_and_prediction_take_either(data, tmp_path):
    x, y = data
    distiller = make(make_net(9))
    taught = distiller.ask_once(x, tmp_path / "answers", verbose=False)
    distiller.compile("adam", LOSS)
    history = distiller.fit(taught, y, validation_data=(x, y), epochs=1, verbose=0).history
    assert history["val_loss"][0] == pytest.approx(distiller.evaluate(taught, y, verbose=0))
    np.testing.assert_array_equal(distiller.predict(taught), distiller.predict(x))


def test_the_best_teacher_is_the_one_for_the_label(data, tmp_path):
    x, y = data
    both = D.Ensemble([make_net(9), make_net(8)], "best")
    distiller = make(both)
    with pytest.raises(ValueError, match="`labels` are needed"):
        distiller.ask_once(x, tmp_path / "answers")
    taught = distiller.ask_once(x, tmp_path / "answers", y, verbose=False)
    rows = np.arange(len(x))
    right = [net.predict(x, verbose=0)[rows, y] for net in both.models]
    found = np.asarray(keras.ops.softmax(taught.answers["logits 0"]))[rows, y]
    np.testing.assert_allclose(found, np.maximum(*right), atol=1e-5)
    changed = y.copy()
    changed[100:] = (changed[100:] + 1) % 4
    again = distiller.ask_once(x, tmp_path / "answers", changed, verbose=False)
    assert np.abs(again.answers["logits 0"][100:] - taught.answers["logits 0"][100:]).max() > 1e-3


def test_a_folder_of_other_things_is_left_alone(data, tmp_path):
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(ValueError, match="holds something else"):
        make(make_net(9)).ask_once(data[0], tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    with pytest.raises(NotADirectoryError, match="is a file: name a folder"):
        make(make_net(9)).ask_once(data[0], tmp_path / "mine.txt")
    for bad in (data[0][:0], [1, 2]):
        with pytest.raises(ValueError, match="`data` must be arrays"):
            make(make_net(9)).ask_once(bad, tmp_path / "new")
    with pytest.raises(ValueError, match="batch_size=0"):
        make(make_net(9)).ask_once(data[0], tmp_path / "new", batch_size=0)


def test_an_interrupted_asking_leaves_nothing_and_damage_is_mended(data, tmp_path):
    x, _ = data
    net, folder = make_net(9), tmp_path / "answers"
    calls = []

    def stops(inputs):
        calls.append(len(inputs))
        if len(calls) > 3:
            raise KeyboardInterrupt
        return net(inputs).numpy()

    with pytest.raises(BaseException):  # noqa: B017 - what TensorFlow makes of it
        make(stops).ask_once(x, folder, batch_size=16, verbose=False)
    assert list(tmp_path.iterdir()) == []
    make(net).ask_once(x, folder, verbose=False)
    facts = json.loads((folder / _FACTS).read_text())
    (folder / _FACTS).write_text("{")
    make(net).ask_once(x, folder, verbose=False)
    assert json.loads((folder / _FACTS).read_text()) == facts


def test_what_differs_anywhere_is_asked_anew(data, tmp_path):
    x, y = data
    distiller, folder = make(make_net(9)), tmp_path / "answers"
    distiller.ask_once(x, folder, verbose=False)
    other = x.copy()
    other[77] = 0
    taught = distiller.ask_once(other, folder, verbose=False)
    live = distiller.answers(other)["logits 0"]
    np.testing.assert_allclose(taught.answers["logits 0"], live, atol=1e-5)
    batches = [tf.data.Dataset.from_tensor_slices((x, labels)).batch(32) for labels in (y, 3 - y)]
    for dataset, labels in zip(batches, (y, 3 - y), strict=True):
        stored = distiller.ask_once(dataset, tmp_path / "batches", verbose=False)
        np.testing.assert_array_equal(np.concatenate([b[1] for b in stored]), labels)
    with pytest.raises(ValueError, match="never ends"):
        distiller.ask_once(batches[0].repeat(), tmp_path / "batches")


def test_sure_teachers_are_told_apart_and_kept_to_the_last_digit(data, tmp_path):
    x, _ = data
    found = []
    for bias in ([40.0, 0, 10, 20], [40.0, 20, 10, 0]):
        teacher = make_net(9)
        teacher.get_layer("classes").set_weights([np.zeros((18, 4)), np.array(bias)])
        taught = make(teacher).ask_once(x, tmp_path / "answers", verbose=False)
        found.append(taught.answers["logits 0"][5])
        np.testing.assert_allclose(found[-1], bias, atol=1e-5)


def test_stored_answers_of_other_losses_are_refused(data, tmp_path):
    x, y = data
    teacher = make_net(9)
    taught = make(teacher).ask_once(x, tmp_path / "answers", verbose=False)
    for other, losses, message in (
        (teacher, D.Hints("conv"), "stored answers have no 'layer conv'"),
        (make_net(9), None, "stored answers are another teacher's"),
    ):
        distiller = make(other, losses)
        distiller.compile("adam", LOSS)
        with pytest.raises(ValueError, match=message):
            distiller.fit(taught, y, verbose=0)


def test_answers_are_asked_anew_for_another_activation_order_or_file(data, tmp_path, capsys):
    x, _ = data
    teacher, student = make_net(9), make_net(4)
    first = ek.distill(student, teacher, teacher_activation="linear").ask_once(x, tmp_path / "a")
    again = ek.distill(student, teacher).ask_once(x, tmp_path / "a")
    assert "has answers of another teacher: asking anew" in capsys.readouterr().out
    found = keras.ops.softmax(again.answers["logits 0"])
    np.testing.assert_allclose(found, first.answers["logits 0"], atol=1e-5)
    make(teacher).ask_once(x[::-1], tmp_path / "a")
    assert "answers to other data, or the same in another order" in capsys.readouterr().out

    class File:
        """As a `.tflite` is: bytes, of which a few answers show nothing."""

        def __init__(self, content):
            self.content = content

        def predict(self, x):
            return np.full((len(x), 4), 0.25)

    asked = [
        make(File(content)).ask_once(x, tmp_path / "files", verbose=False)
        for content in (b"one", b"other")
    ]
    assert asked[0].answers.keys() != asked[1].answers.keys()


def test_what_is_no_data_or_too_much_is_refused(data, tmp_path):
    x, y = data
    with pytest.raises(ValueError, match="2 arrays, and the student 1 inputs: pass x alone"):
        make(make_net(9)).ask_once((x, y), tmp_path / "new")
    with pytest.raises(TypeError, match="arrays or a tf.data set of batches. Received: generator"):
        make(make_net(9)).ask_once((batch for batch in [x]), tmp_path / "new")


def test_a_teacher_without_a_configuration_is_asked_once(data, tmp_path):
    class Wrapped(keras.Model):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def call(self, x):
            return self.net(x)

    teacher = Wrapped(make_net(9))
    teacher(data[0][:1])
    taught = make(teacher).ask_once(data[0], tmp_path / "answers", verbose=False)
    np.testing.assert_allclose(
        keras.ops.softmax(taught.answers["logits 0"]), teacher(data[0]), atol=1e-5
    )

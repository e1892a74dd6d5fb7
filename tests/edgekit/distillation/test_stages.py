"""Teaching assistants and born-again networks."""

import keras
import numpy as np
import pytest

import edgekit as ek
from tests.edgekit.distillation.conftest import LOSS, make_net

D = ek.distillation


def arguments(data, optimizer="adam"):
    compiling = {"optimizer": optimizer, "loss": LOSS, "metrics": ["accuracy"]}
    return {"compile": compiling, "fit": {"x": data[0], "y": data[1], "verbose": 0}}


def test_each_assistant_is_taught_by_the_one_before(data):
    teacher, assistant, student = (make_net(width, name=f"w{width}") for width in (12, 8, 4))
    optimizer = keras.optimizers.Adam(0.01)
    before = teacher.get_weights()
    histories = D.teaching_assistants([teacher, assistant, student], **arguments(data, optimizer))
    assert [h.model.student.name for h in histories] == ["w8", "w4"]
    assert [h.model.teacher.name for h in histories] == ["w12", "w8"]
    assert all(int(h.model.optimizer.iterations) == 4 for h in histories)
    assert not optimizer.built  # each stage has a copy
    for old, new in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    direct = make_net(4)
    assert student.count_params() == direct.count_params()


def test_generations_begin_with_new_weights_and_the_last_one_teaches(data):
    x, _ = data
    model = make_net(4)
    first = model.predict(x, verbose=0)
    taught_by = []

    class Watch(keras.callbacks.Callback):
        def on_train_end(self, logs=None):
            moved = np.abs(self.model.student.predict(x, verbose=0) - self.begun).max()
            assert moved > 1e-4

        def on_train_begin(self, logs=None):
            self.begun = self.model.student.predict(x, verbose=0)
            taught_by.append(self.model.teacher)
            assert isinstance(self.model.distillation_losses[0], D.SoftTargets)
            assert self.model.distillation_losses[0].temperature == 1

    settings = arguments(data)
    settings["fit"]["callbacks"] = [Watch()]
    born = D.born_again(model, 3, **settings)
    assert taught_by == [model, *born[:-1]]
    outputs = [net.predict(x, verbose=0) for net in born]
    assert all(np.abs(o - first).max() > 1e-3 for o in outputs)
    np.testing.assert_array_equal(model.predict(x, verbose=0), first)
    assert D.Ensemble(born).predict(x, verbose=0).shape == first.shape
    (made,) = D.born_again(model, 1, make=lambda: make_net(3, name="made"), **arguments(data))
    assert made.name == "made"


def test_bad_arguments_are_one_clear_sentence(data):
    settings, net = arguments(data), make_net(3)
    with pytest.raises(TypeError, match=r"`models` must be a list of Keras models"):
        D.teaching_assistants(net, **settings)
    with pytest.raises(ValueError, match="each another model"):
        D.teaching_assistants([net, net], **settings)
    with pytest.raises(TypeError, match="`compile` must be a dict .*compile='adam'"):
        D.born_again(net, **settings | {"compile": "adam"})
    with pytest.raises(TypeError, match="`fit` must be a dict"):
        D.teaching_assistants([net, make_net(3)], **settings | {"fit": None})
    with pytest.raises(ValueError, match="generations=0"):
        D.born_again(net, 0, **settings)


def test_losses_and_schedules_of_ones_own_are_taken_as_they_are(data):
    class Own(keras.losses.Loss):
        def __init__(self, gamma=2.0):
            super().__init__()
            self.gamma = gamma

        def call(self, expected, found):
            return self.gamma * keras.ops.mean(found, -1)

    class Falling(keras.optimizers.schedules.LearningRateSchedule):
        def __call__(self, step):
            return 0.0 * keras.ops.cast(step, "float32")

    settings = arguments(data, keras.optimizers.Adam(Falling()))
    settings["compile"] = {**settings["compile"], "loss": Own(8.0), "metrics": []}
    (history,) = D.teaching_assistants([make_net(6), make_net(4)], student_weight=1, **settings)
    assert history.history["loss"][0] == pytest.approx(2.0)  # 8 · the mean of 4 probabilities


def test_what_cannot_be_read_or_made_again_is_refused(data):
    settings = arguments(data)
    settings["fit"] = {"x": iter([data]), "verbose": 0}
    with pytest.raises(ValueError, match="x is a generator, which the first stage uses up"):
        D.teaching_assistants([make_net(6), make_net(4)], **settings)

    class Subclassed(keras.Model):
        def __init__(self, net):
            super().__init__()
            self.net = net

        def call(self, x):
            return self.net(x)

    model = Subclassed(make_net(4))
    model(data[0][:1])
    with pytest.raises(ValueError, match="cannot be made anew .* pass `make`"):
        D.born_again(model, 1, **arguments(data))

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.edgekit.distillation.conftest import LOSS, fit, make_net

D = ek.distillation


ENDS = {
    "logits": None,
    "argument": "softmax",
    "layer": layers.Softmax(),
    "operation": keras.ops.softmax,
    "inside dropout and reshape": lambda z: layers.Reshape((4,))(layers.Dropout(0)(_SOFTMAX(z))),
}
_SOFTMAX = layers.Activation("softmax")


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("side", ["teacher", "student"])
def test_probabilities_teach_as_their_logits_do(data, end, side):
    x, y = data
    image = keras.Input((8, 8, 3))
    z = [layers.Dense(4)(layers.Flatten()(image)) for _ in range(2)]
    logits = [keras.Model(image, each).predict(x, verbose=0) for each in z]
    activation = ENDS[end]
    if isinstance(activation, str):
        activation = layers.Activation(activation)
    ended = [
        activation(each) if activation and name == side else each
        for name, each in zip(("student", "teacher"), z, strict=True)
    ]
    distiller = ek.distill(*(keras.Model(image, each) for each in ended), student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), None, **options).history
    expected = float(D.SoftTargets().compute_loss(logits[1], logits[0]))
    assert history["loss"][0] == pytest.approx(expected, rel=1e-4)


def test_each_unit_of_a_sigmoid_is_a_question_of_its_own(data):
    x, y = data
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    nets = [keras.Model(image, layers.Dense(4, activation="sigmoid")(flat)) for _ in range(2)]
    distiller = ek.distill(*nets, D.SoftTargets(1), student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), None, **options).history
    q, p = (net.predict(x, verbose=0).astype("f8") for net in nets)
    divergence = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    assert history["loss"][0] == pytest.approx(divergence.mean(), rel=1e-3)


def test_a_unit_of_a_sigmoid_has_one_logit(data):
    x, _ = data
    image = keras.Input((8, 8, 3))
    flat = layers.Flatten()(image)
    nets = [keras.Model(image, layers.Dense(4, activation="sigmoid")(flat)) for _ in range(2)]
    distiller = ek.distill(*nets, D.LogitMatching(), student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, data, keras.optimizers.SGD(0.0), None, **options).history
    q, p = (net.predict(x, verbose=0).astype("f8") for net in nets)
    difference = np.log(p / (1 - p)) - np.log(q / (1 - q))
    assert history["loss"][0] == pytest.approx(np.square(difference).mean(), rel=1e-3)


def test_several_outputs(data):
    x, y = data

    def make(width):
        net = make_net(width)
        size = layers.Dense(2, name="size")(net.get_layer("gap").output)
        return keras.Model(net.input, {"classes": net.output, "size": size})

    student, teacher = make(4), make(9)
    targets = {"classes": y, "size": np.zeros((len(x), 2), "float32")}
    own = {"classes": LOSS, "size": "mse"}
    distiller = ek.distill(student, teacher)
    kinds = [type(loss).__name__ for loss in distiller.distillation_losses]
    assert kinds == ["SoftTargets", "LogitMatching"]
    history = fit(distiller, (x, targets), loss=own, epochs=15).history["distillation_loss"]
    assert history[-1] < history[0]
    only = ek.distill(student, teacher, {"size": D.LogitMatching()}, student_weight=0)
    before = keras.ops.mean((student(x)["size"] - teacher(x)["size"]) ** 2)
    fit(only, (x, targets), keras.optimizers.Adam(0.01), None, epochs=15)
    after = keras.ops.mean((student(x)["size"] - teacher(x)["size"]) ** 2)
    assert float(after) < 0.5 * float(before)
    with pytest.raises(
        ValueError, match="names output 'nothing'; the student's are: classes, size"
    ):
        ek.distill(student, teacher, {"nothing": D.SoftTargets()})


def test_masked_steps_do_not_count():
    def make(units):
        steps = keras.Input((6,), dtype="int32")
        x = layers.Embedding(10, units, mask_zero=True)(steps)
        return keras.Model(steps, layers.Dense(3)(layers.LSTM(units, return_sequences=True)(x)))

    student, teacher = make(4), make(8)
    x = np.random.default_rng(0).integers(1, 10, (16, 6))
    x[:, 4:] = 0
    y = np.zeros((16, 6), int)
    distiller = ek.distill(student, teacher, D.LogitMatching(), student_weight=0)
    options = {"epochs": 1, "batch_size": 16}
    history = fit(distiller, (x, y), keras.optimizers.SGD(0.0), None, **options).history
    difference = np.square(student.predict(x) - teacher.predict(x))
    assert history["loss"][0] == pytest.approx(difference[:, :4].mean(), rel=1e-4)


def two_heads(first, second):
    """Outputs in a list, in the order of their arguments."""
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(image)
    heads = {"size": layers.Dense(2, name="size"), "classes": layers.Dense(4, name="classes")}
    return keras.Model(image, [heads[first](x), heads[second](x)])


def test_outputs_in_a_list_are_known_by_name(data):
    x, y = data
    student, teacher = two_heads("size", "classes"), two_heads("classes", "size")
    for name in ("size", "classes"):
        teacher.get_layer(name).set_weights(student.get_layer(name).get_weights())
    losses = {"classes": [D.SoftTargets(), D.Decoupled()], "size": D.LogitMatching()}
    distiller = ek.distill(student, teacher, losses)
    own = {
        "classes": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "size": "mse",
    }
    targets = {"classes": y, "size": np.zeros((len(x), 2), "float32")}
    options = {"epochs": 1, "batch_size": len(x)}
    history = fit(distiller, (x, targets), keras.optimizers.SGD(0.0), own, **options).history
    assert history["distillation_loss"][0] == pytest.approx(0, abs=1e-5)
    teacher.get_layer("classes").set_weights([np.zeros((192, 4)), np.arange(4.0)])
    history = fit(distiller, (x, targets), keras.optimizers.SGD(0.0), own, **options).history
    z = [model.predict(x, verbose=0) for model in (teacher, student)]
    parts = [
        float(loss.compute_loss(z[0][0], z[1][1], labels=y))
        for loss in (D.SoftTargets(), D.Decoupled())
    ]
    assert history["distillation_loss"][0] == pytest.approx(sum(parts), rel=1e-4)


def test_keras_losses_are_given_logits_and_their_output(data, teacher):
    x, y = data
    student = make_net(6)
    student.get_layer("bn").trainable = False
    kl = keras.losses.KLDivergence()
    keras_loss = keras.distillation.LogitsDistillation(3, kl)
    distiller = ek.distill(student, teacher, keras_loss, student_weight=0)
    options = {"epochs": 1, "batch_size": len(x)}
    found = fit(distiller, data, keras.optimizers.SGD(0.0), None, **options).history["loss"][0]
    logs = [np.log(model.predict(x, verbose=0)) for model in (teacher, student)]
    assert found == pytest.approx(float(D.SoftTargets(3).compute_loss(*logs)), rel=1e-3)


def test_logits_are_not_taken_for_probabilities(data):
    def function(x):
        return 5 * x[:, 0, 0, [0, 1, 2, 0]]

    assert ek.distill(make_net(6), function).teacher_activation == ["linear"]
    distiller = ek.distill(make_net(6), function, teacher_activation="softmax")
    with pytest.raises(Exception, match="teacher_activation='linear'"):
        fit(distiller, data)


class Ending(keras.Model):
    """A subclassed model, of which nothing can be seen."""

    def __init__(self, activation):
        super().__init__()
        self.body = make_net(5, None, name="body")
        self.ending = keras.activations.get(activation)

    def call(self, x, training=None):
        return self.ending(self.body(x, training=training))


@pytest.mark.parametrize("activation", ["softmax", "linear"])
def test_probabilities_are_known_by_their_sum(data, teacher, activation):
    net = Ending(activation)
    net(data[0][:1])
    assert ek.distill(make_net(6), net).teacher_activation == [activation]
    assert ek.distill(make_net(6), lambda x: net(x).numpy()).teacher_activation == [activation]
    assert ek.distill(net, teacher).student_activation == [activation]

"""Students and teachers that do not fit each other."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.edgekit.distillation.conftest import fit, make_net

D = ek.distillation


def test_a_teacher_that_would_train_too_is_refused(data):
    image = keras.Input((8, 8, 3))
    x = layers.Dense(6, "relu", name="common")(layers.Flatten()(image))
    teacher, student = (keras.Model(image, layers.Dense(4, "softmax")(x)) for _ in range(2))
    with pytest.raises(ValueError, match="share layer 'common': the teacher would change"):
        ek.distill(student, teacher)
    teacher.get_layer("common").trainable = False
    before = teacher.get_weights()
    fit(ek.distill(student, teacher), data)
    for one, other in zip(before, teacher.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_what_is_no_number_teaches_nothing(data, teacher):
    broken = make_net(5)
    broken.get_layer("conv").kernel.assign(np.full((3, 3, 3, 5), np.nan))
    with pytest.raises(ValueError, match="weights that are not finite in '.*conv/kernel'"):
        ek.distill(make_net(4), broken)
    with pytest.raises(ValueError, match="`weights` must be 1 numbers"):
        ek.distill(make_net(4), teacher, weights=float("inf"))

    def sometimes(x):
        return np.where(x[:, :1, 0, 0] > 0.9, np.nan, 0.25) * np.ones((len(x), 4))

    with pytest.raises(Exception, match="values that are not finite"):
        fit(ek.distill(make_net(4), sometimes), data)


def test_a_layer_that_is_called_twice_has_no_one_output(data):
    one, other = keras.Input((8, 8, 3)), keras.Input((8, 8, 3))
    inside = keras.Sequential([layers.Flatten(), layers.Dense(4)], name="inside")
    second = layers.Identity(name="second")(inside(other))
    x = layers.Concatenate()([inside(one), second])
    student = keras.Model([one, other], layers.Dense(4, "softmax")(x))
    teacher = keras.models.clone_model(student)
    with pytest.raises(ValueError, match="layer 'inside' of .* is called 2 times: name a layer"):
        ek.distill(student, teacher, D.Hints("inside"))
    fit(ek.distill(student, teacher, D.Hints("second")), ([data[0], data[0]], data[1]))


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (lambda: D.AttentionTransfer("steps"), "sequences of 7 and 4 steps cannot be compared"),
        (lambda: D.AttentionTransfer("steps", "classes"), r"shapes \(None, 7, 6\) and \(None, 4\)"),
        (
            lambda: keras.distillation.FeatureDistillation("mse", "classes", "steps"),
            "Hints learns a projection",
        ),
    ],
)
def test_features_that_cannot_be_compared_are_named(loss, message):
    def make(stride):
        x = steps = keras.Input((16, 3))
        x = layers.Conv1D(6, 4, strides=stride, name="steps")(x)
        return keras.Model(steps, layers.Dense(4, name="classes")(layers.Flatten()(x)))

    with pytest.raises(ValueError, match=message):
        ek.distill(make(2), make(4), loss())


@pytest.mark.parametrize("loss", [D.AttentionTransfer("conv"), D.Hints("conv")])
def test_images_of_any_size_are_compared_under_xla(data, teacher, loss):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(5, 5, activation="relu", name="conv")(image)  # 4×4, the teacher's 6×6
    student = keras.Model(image, layers.Dense(4, "softmax")(layers.Flatten()(x)))
    history = fit(ek.distill(student, teacher, loss), data, compiling={"jit_compile": True})
    assert np.isfinite(history.history["loss"]).all()


def test_numbers_that_are_compared_as_classes_are_named(data):
    nets = [make_net(4, None), make_net(5, None)]
    target = np.zeros((len(data[0]), 4), "float32")
    with pytest.warns(UserWarning, match="'classes' as logits of classes, and its loss is one of"):
        fit(ek.distill(*nets), (data[0], target), loss="mse")
    with pytest.warns(UserWarning, match="it is for classifiers"):
        D.MutualLearning(nets).compile("adam", keras.losses.Huber())


def test_a_prediction_that_would_wait_for_itself_is_refused():
    program = (
        "import keras, edgekit as ek\n"
        "net = lambda: keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, 'softmax')])\n"
        "teacher = net()\n"
        "ek.distill(net(), lambda x: teacher(x).numpy())\n"
        "try: ek.distill(net(), lambda x: teacher.predict(x, verbose=0))\n"
        "except ValueError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "TF_NUM_INTEROP_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert "waits for itself where TensorFlow has one thread" in done.stdout, done.stderr[-2000:]

import keras
import pytest
from keras import layers

import edgekit as ek
from tests.edgekit.distillation.conftest import fit, make_net

D = ek.distillation


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"student": "net"}, TypeError, "`student` must be a Keras 3 model. Received: str"),
        ({"teacher": None}, TypeError, "`teacher` must be a Keras model"),
        ({"losses": "soft"}, TypeError, "must be distillation losses"),
        ({"losses": D.SoftTargets}, TypeError, r"did you mean SoftTargets\(\)"),
        (
            {"teacher": keras.Sequential([keras.Input((5,)), layers.Dense(4)])},
            ValueError,
            r"samples of \[\(8, 8, 3\)\] and `teacher` of \[\(5,\)\]",
        ),
        ({"losses": []}, ValueError, "must not be empty"),
        (
            {"losses": D.Hints("nothing")},
            ValueError,
            "has no layer 'nothing'. Its layers are: .*gap",
        ),
        ({"losses": D.Hints("gap", "conv")}, ValueError, "Hints of layers 'gap' and 'conv'"),
        ({"student_weight": 2}, ValueError, "student_weight=2"),
        ({"weights": [1, 2]}, ValueError, "`weights` must be 1 numbers"),
        ({"weights": -1}, ValueError, "weights=-1"),
        ({"student_activation": "relu"}, ValueError, "student_activation='relu'"),
        ({"teacher_activation": "sigmoid"}, ValueError, "end both alike"),
        ({"teacher": lambda x: x[:, 0, 0]}, ValueError, r"shape \(None, 4\) and .* \(None, 3\)"),
        ({"teacher": lambda x: 1 / 0}, ValueError, "fails on two samples of zeros: ZeroDivision"),
        ({"student": keras.Sequential([layers.Dense(4)])}, ValueError, "no weights yet"),
    ],
)
def test_bad_arguments_are_one_clear_sentence(teacher, change, error, message):
    arguments = {"student": make_net(6), "teacher": teacher, **change}
    with pytest.raises(error, match=message):
        ek.distill(**arguments)


def test_what_is_for_a_model_is_not_for_its_distiller(data, teacher):
    distiller = ek.distill(make_net(6), teacher, D.Decoupled(), student_weight=0)
    with pytest.raises(ValueError, match="'distiller' is a Distiller: pass its `.student`"):
        ek.narrow(distiller)
    with pytest.raises(ValueError, match="pass its `.student`"):
        ek.convert(distiller)
    distiller.compile("adam")
    with pytest.raises(ValueError, match="labels are needed"):
        distiller.fit(data[0], verbose=0)


def test_a_way_of_training_of_the_student_s_own_is_said(teacher):
    class Own(keras.Model):
        def train_step(self, data):
            raise NotImplementedError

    net = make_net(6)
    student = Own(net.input, net.output, name="own")
    with pytest.warns(
        UserWarning, match="`student` 'own' has a train_step of its own .Own., which"
    ):
        ek.distill(student, teacher)
    with pytest.warns(UserWarning, match="`students` 'own' has a train_step"):
        D.MutualLearning([student, make_net(6)])


def test_one_number_is_no_class(data):
    x, y = data
    image = keras.Input((8, 8, 3))
    nets = [keras.Model(image, layers.Dense(1)(layers.Flatten()(image))) for _ in range(2)]
    distiller = ek.distill(*nets)
    assert isinstance(distiller.distillation_losses[0], D.LogitMatching)
    assert fit(distiller, data, loss="mse").history["distillation_loss"][0] > 0
    with pytest.raises(ValueError, match="output 'dense_.*' is one number: LogitMatching"):
        ek.distill(*nets, D.SoftTargets())
    with pytest.raises(ValueError, match="is one number"):
        D.MutualLearning(nets)


def test_a_frozen_student_is_refused_and_copies_of_a_frozen_teacher_train(teacher):
    teacher.trainable = False
    with pytest.raises(ValueError, match="has nothing to train"):
        ek.distill(teacher, make_net(6))
    assert len(ek.narrow(teacher, 0.5).trainable_weights) == len(make_net(3).trainable_weights)
    with pytest.raises(ValueError, match="is a Distiller: pass its `.student`"):
        ek.distill(make_net(6), ek.distill(make_net(5), teacher))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"student_activation": ["softmax", "linear"]}, "one entry for each of 1 outputs"),
        ({"student_activation": "linear", "losses": D.AttentionTransfer("gap")}, "have none"),
    ],
)
def test_what_cannot_be_compared_is_said(data, teacher, change, message):
    with pytest.raises(ValueError, match=message):
        fit(ek.distill(make_net(6), teacher, **change), data)

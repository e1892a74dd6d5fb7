import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from tests.edgekit.distillation.conftest import fit, make_net

D = ek.distillation


def test_features_of_other_widths_and_sizes(data):
    teacher, student = make_net(12), make_net(5, strides=2)
    losses = [
        D.Hints("conv"),
        D.Hints("gap"),
        D.AttentionTransfer("conv"),
        D.SimilarityPreserving("gap", "conv_2"),
        D.Relational("conv_2", "gap"),
        keras.distillation.FeatureDistillation("mse"),
    ]
    distiller = ek.distill(student, teacher, losses)
    before = len(student.trainable_variables)
    assert len(distiller.trainable_variables) == before + 2  # a projection per pair of widths
    first, *_, last = fit(distiller, data, epochs=15).history["distillation_loss"]
    assert last < first
    assert len(student.trainable_variables) == before
    assert student.count_params() == make_net(5, strides=2).count_params()


def test_layers_inside_nested_and_subclassed_models(data):
    class Net(keras.Model):
        def __init__(self, width):
            super().__init__()
            self.body = make_net(width, None, name="body")

        def call(self, x, training=None):
            return keras.ops.softmax(self.body(x, training=training))

    student, teacher = Net(4), Net(9)
    for net in (student, teacher):
        net(data[0][:1])
    distiller = ek.distill(student, teacher, [D.Hints("conv_2"), D.SimilarityPreserving("gap")])
    history = fit(distiller, data, epochs=10).history["distillation_loss"]
    assert history[-1] < history[0]


@pytest.mark.parametrize(
    "loss", [D.Hints, D.AttentionTransfer, D.SimilarityPreserving, D.Relational]
)
def test_what_masked_steps_hold_does_not_count(loss):
    def make(units):
        steps = keras.Input((6,), dtype="int32")
        x = layers.Embedding(10, units, mask_zero=True)(steps)
        x = layers.TimeDistributed(layers.Dense(5), name="each")(x)
        return keras.Model(steps, layers.Dense(3)(layers.LSTM(4)(x)))

    student, teacher = make(4), make(8)
    x = np.random.default_rng(0).integers(1, 10, (16, 6))
    x[:, 4:] = 0
    distiller = ek.distill(student, teacher, loss("each"), student_weight=0)
    found = []
    for value in (0.0, 3.0):  # what stands at masked steps, in the student
        table = student.layers[1].get_weights()[0]
        table[0] = value
        student.layers[1].set_weights([table])
        options = {"epochs": 1, "batch_size": 16}
        history = fit(distiller, (x, x[:, 0]), keras.optimizers.SGD(0.0), None, **options).history
        found.append(history["loss"][0])
    assert found[0] > 0
    assert found[1] == pytest.approx(found[0], rel=1e-5)

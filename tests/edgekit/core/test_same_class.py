"""A rebuilt model is of its original's class."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


class Contrasting(keras.Model):
    """Trains with a step, a layer and a metric of its own."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.temperature = 1.0
        self.projection = layers.Dense(2)
        self.projection.build((None, 3))
        self.steps = keras.metrics.Sum(name="steps")

    def train_step(self, data):
        self.steps.update_state(1.0)
        return {"steps": self.steps.result()}

    def compute_loss(self, *args, **kwargs):
        return 7.0

    def projected(self, x):
        return self.projection(self.encoder(x)) / self.temperature


class Chain(keras.Sequential):
    def train_step(self, data):
        return {"mine": keras.ops.ones(())}


class OfUnits(keras.Model):
    def __init__(self, units):
        x = keras.Input((4,))
        super().__init__(x, layers.Dense(units)(x))

    def train_step(self, data):
        return {}


def contrasting():
    x, inner = keras.Input((4,)), keras.Input((4,))
    encoder = keras.Model(inner, layers.Dense(3, name="inside")(inner), name="encoder")
    model = Contrasting(x, layers.ReLU()(encoder(x)), name="mine")
    model.encoder, model.temperature = encoder, 0.5
    return model


@pytest.mark.parametrize("rebuild", [ek.quantize_aware, ek.fold_batchnorm, ek.strip])
def test_class_and_attributes_stay(rebuild):
    model = contrasting()
    data = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    new = rebuild(model)
    assert type(new) is Contrasting
    assert new.temperature == 0.5
    assert new.encoder is new.get_layer("encoder")
    for name in ("encoder", "projection", "steps"):
        assert getattr(new, name) is not getattr(model, name)
    np.testing.assert_allclose(new.projected(data), model.projected(data), atol=0.1)
    new.compile("sgd", "mse")
    assert new.fit(data, data[:, :3], epochs=2, batch_size=4, verbose=0).history["steps"] == [2, 2]
    assert new.compute_loss() == 7.0
    assert type(ek.strip(new)) is Contrasting


def test_a_sequential_keeps_its_class_and_strip_gives_its_layers_back():
    model = Chain([keras.Input((4,)), layers.Dense(2, name="a"), layers.ReLU(name="b")])
    qat = ek.quantize_aware(model)
    plain = ek.strip(qat)
    assert type(qat) is type(plain) is Chain
    assert [layer.name for layer in plain.layers] == ["a", "b"]
    qat.compile("sgd", "mse")
    assert qat.fit(np.zeros((4, 4)), np.zeros((4, 2)), verbose=0).history == {"mine": [1.0]}


def test_a_class_that_cannot_be_kept_is_told():
    with pytest.warns(UserWarning, match="without train_step of its class OfUnits"):
        assert isinstance(ek.quantize_aware(OfUnits(3)), keras.Model)

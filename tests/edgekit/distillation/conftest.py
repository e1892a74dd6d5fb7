"""A small classifier, a teacher of its kind, and how they are fitted."""

import keras
import pytest
from keras import layers

LOSS = "sparse_categorical_crossentropy"


def make_net(width, activation="softmax", name="net", **conv):
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(width, 3, activation="relu", name="conv", **conv)(image)
    x = layers.BatchNormalization(name="bn")(x)
    x = layers.Conv2D(2 * width, 3, strides=2, activation="relu", name="conv_2")(x)
    x = layers.GlobalAveragePooling2D(name="gap")(x)
    return keras.Model(image, layers.Dense(4, activation=activation, name="classes")(x), name=name)


@pytest.fixture
def teacher():
    keras.utils.set_random_seed(7)
    return make_net(12, name="teacher")


def fit(distiller, data, optimizer="adam", loss=LOSS, compiling=(), **options):
    distiller.compile(optimizer, loss, **dict(compiling))
    options = {"batch_size": 32, "epochs": 2, "verbose": 0, "shuffle": False, **options}
    return distiller.fit(*data, **options)

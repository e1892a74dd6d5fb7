"""What the tests of packaging share."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


@pytest.fixture(scope="session")
def two_inputs():
    """An int8 file with two inputs and two outputs, whose names' order is not the graph's."""
    keras.utils.set_random_seed(0)
    b, a = keras.Input((4, 3), name="b"), keras.Input((6,), name="a")
    both = layers.Concatenate()([a, layers.Flatten()(b)])
    outputs = [layers.Dense(5, activation="softmax", name="z")(both), layers.Dense(1)(a)]
    rng = np.random.default_rng(0)
    samples = {
        "a": rng.normal(size=(32, 6)).astype("float32"),
        "b": rng.normal(size=(32, 4, 3)).astype("float32"),
    }
    return ek.convert(keras.Model([b, a], outputs), ["int8"], calibration=samples)["int8"]


@pytest.fixture(scope="session")
def wide_edges(trained, data):
    """The trained net as int16x8."""
    return ek.convert(trained, ["int16x8"], calibration=data[0])["int16x8"]


@pytest.fixture(scope="session")
def recurrent():
    """An unrolled LSTM in int8."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential([keras.Input((7, 5)), layers.LSTM(8), layers.Dense(3)])
    x = np.random.default_rng(0).normal(size=(32, 7, 5)).astype("float32")
    return ek.convert(model, ["int8"], calibration=x)["int8"]

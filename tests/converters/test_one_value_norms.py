"""A normalization over one value gives its offset, in files of integers too."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import edgekit as ek
from converters.signal_to_noise import signal_to_noise

RNG = np.random.default_rng(0)
X = {
    "row": RNG.normal(size=(32, 6)).astype("float32"),
    "pixel": RNG.normal(size=(32, 1, 1, 3)).astype("float32"),
}


@pytest.fixture(scope="module")
def model():
    row, pixel = keras.Input((6,), name="row"), keras.Input((1, 1, 3), name="pixel")
    steps = layers.Reshape((6, 1))(row)
    one = layers.Dense(1)(row)
    normalized = {
        "inside": layers.Dense(3)(layers.LayerNormalization()(one)),
        "steps": layers.LayerNormalization()(steps),
        "spatial": layers.LayerNormalization(axis=[1, 2])(pixel),
        "groups": layers.Dense(4)(layers.Flatten()(layers.GroupNormalization(3)(pixel))),
        "operation": ops.layer_normalization(one) + row,
        "more": layers.LayerNormalization()(row),
        "wider groups": layers.GroupNormalization(1)(pixel),
    }
    model = keras.Model([row, pixel], list(normalized.values()))
    for layer in model.layers:
        if "normalization" in layer.name:
            for weight in layer.trainable_variables:
                weight.assign(RNG.normal(size=weight.shape))
    return model


@pytest.mark.parametrize("name", ["float32", "int8"])
def test_files_give_offsets(model, name):
    file = ek.convert(model, name, calibration=X)[name]
    expected, found = model.predict(X, verbose=0), file.predict(X)
    decibels = [signal_to_noise(e, found[f"output_{i}"]) for i, e in enumerate(expected)]
    assert min(decibels[:5]) > 35  # 0 to 14 when computed as a difference of products
    beta = float(expected[1][0, 0, 0])
    np.testing.assert_allclose(found["output_1"], beta, rtol=1e-6)
    assert min(decibels) > (90 if name == "float32" else 20)


def test_keras_is_left_as_it_was(model):
    before = keras.layers.GroupNormalization._apply_normalization
    ek.convert(keras.Model(model.input[1], model.outputs[-1]))
    assert keras.layers.GroupNormalization._apply_normalization is before

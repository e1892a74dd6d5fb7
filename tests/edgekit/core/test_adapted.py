"""Statistics and vocabularies go with a copy."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek
from edgekit.core.adapted import copy_adapted

X = np.random.default_rng(0).normal(300, 50, (64, 6)).astype("float32")
WORDS = np.array([["a b c"], ["b c d"]])


def normalised():
    layer = layers.Normalization(name="statistics")
    layer.adapt(X)
    ending = [layers.Dense(16, "relu"), layers.Dense(3, "softmax")]
    return keras.Sequential([keras.Input((6,)), layer, *ending])


def of_words():
    layer = layers.TextVectorization(max_tokens=20, output_sequence_length=4)
    layer.adapt(WORDS)
    words = keras.Input((1,), dtype="string")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(20, 8)(layer(words)))
    return keras.Model(words, layers.Dense(2, "softmax")(x))


def test_statistics_and_vocabularies_are_copied():
    model = normalised()
    clone = keras.models.clone_model(model)
    copy_adapted(model, clone)
    one, other = (m.get_layer("statistics")(X) for m in (model, clone))
    np.testing.assert_array_equal(one, other)
    model = of_words()
    clone = keras.models.clone_model(model)
    copy_adapted(model, clone)
    assert clone.layers[1].get_vocabulary() == model.layers[1].get_vocabulary()


@pytest.mark.parametrize(
    "copy",
    [
        lambda model: ek.strip(ek.quantize_aware(model)),
        ek.equalize,
    ],
)
def test_copies_answer_as_the_model_does(copy):
    model = normalised()
    np.testing.assert_allclose(copy(model).predict(X), model.predict(X), atol=1e-5)


@pytest.mark.parametrize("width", [0.5, 2])
def test_smaller_and_born_again_models_are_adapted(width):
    small = ek.narrow(normalised(), width)
    np.testing.assert_allclose(small.get_layer("statistics").mean[0], X.mean(0), rtol=1e-5)
    small = ek.narrow(of_words(), width)
    assert "d" in small.layers[1].get_vocabulary()
    settings = {
        "compile": {"optimizer": "adam", "loss": "sparse_categorical_crossentropy"},
        "fit": {"x": tf.constant(WORDS), "y": np.array([0, 1]), "verbose": 0},
    }
    (born,) = ek.distillation.born_again(of_words(), 1, **settings)
    assert "d" in born.layers[1].get_vocabulary()

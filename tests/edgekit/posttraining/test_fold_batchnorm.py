import keras
import numpy as np
import pytest
from keras import layers

from edgekit.posttraining import fold_batchnorm


def batchnorm(**options):
    return layers.BatchNormalization(
        beta_initializer="random_normal",
        gamma_initializer=keras.initializers.RandomUniform(-2, 2),
        moving_mean_initializer="random_normal",
        moving_variance_initializer=keras.initializers.RandomUniform(0.2, 2),
        **options,
    )


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


CASES = {
    "conv": lambda x: batchnorm()(layers.Conv2D(6, 3, use_bias=False)(x)),
    "conv with bias": lambda x: batchnorm()(layers.Conv2D(6, 3, bias_initializer="ones")(x)),
    "grouped": lambda x: batchnorm()(layers.Conv2D(8, 3, groups=2)(layers.Conv2D(4, 1)(x))),
    "depthwise": lambda x: batchnorm()(layers.DepthwiseConv2D(3, depth_multiplier=2)(x)),
    "transposed": lambda x: batchnorm()(layers.Conv2DTranspose(5, 3, strides=2)(x)),
    "dense": lambda x: batchnorm(scale=False)(layers.Dense(7)(layers.Flatten()(x))),
    "no centre": lambda x: batchnorm(center=False)(layers.Conv2D(6, 1)(x)),
    "axis by number": lambda x: batchnorm(axis=3)(layers.Conv2D(6, 1)(x)),
}


@pytest.mark.parametrize("name", CASES)
def test_folds_and_computes_the_same(name):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.ReLU()(CASES[name](image)))
    folded = fold_batchnorm(model)
    assert "BatchNormalization" in kinds(model)
    assert "BatchNormalization" not in kinds(folded)
    x = np.random.default_rng(0).normal(size=(4, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x), atol=2e-5)


def shared_conv(x):
    conv = layers.Conv2D(3, 1)
    return batchnorm()(conv(x)) + conv(x)


def read_twice(x):
    y = layers.Conv2D(3, 1)(x)
    return batchnorm()(y) + y


STAYS = {
    "after an activation": lambda x: batchnorm()(layers.Conv2D(6, 3, activation="relu")(x)),
    "first": lambda x: layers.Conv2D(6, 3)(batchnorm()(x)),
    "a shared layer": shared_conv,
    "read by another": read_twice,
    "another axis": lambda x: batchnorm(axis=1)(layers.Conv2D(6, 1)(x)),
}


@pytest.mark.parametrize("name", STAYS)
def test_what_cannot_be_folded_stays(name):
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, STAYS[name](image))
    folded = fold_batchnorm(model)
    assert "BatchNormalization" in kinds(folded)
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(folded(x), model(x), atol=2e-5)


def test_nested_models_and_a_saved_result(tmp_path):
    block = keras.Sequential([keras.Input((8, 8, 3)), layers.Conv2D(4, 3), batchnorm()])
    image = keras.Input((8, 8, 3))
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(block(image))))
    folded = fold_batchnorm(model)
    folded.save(tmp_path / "folded.keras")
    again = keras.saving.load_model(tmp_path / "folded.keras")
    x = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(again(x), model(x), atol=2e-5)
    names = [layer.name for layer in folded._flatten_layers()]
    assert not any(name.startswith("batch_normalization") for name in names)


def test_bad_models():
    with pytest.raises(ValueError, match="must be a Keras 3 model"):
        fold_batchnorm("model")

import keras
import numpy as np
from keras import layers

from converters.full_precision import in_full_precision


def net(dtype):
    x = keras.Input((4,))
    return keras.Model(x, layers.Dense(3, dtype=dtype)(layers.Dense(5, dtype=dtype)(x)))


def test_a_float32_model_is_itself():
    model = net("float32")
    assert in_full_precision(model) is model


def test_half_precision_becomes_full_with_the_same_weights():
    model = net("mixed_float16")
    full = in_full_precision(model)
    assert {layer.compute_dtype for layer in full.layers} == {"float32"}
    for old, new in zip(model.weights, full.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(old), np.asarray(new))
    x = np.random.default_rng(0).normal(size=(8, 4)).astype("float32")
    np.testing.assert_allclose(full(x), model(x), atol=0.02)
    assert keras.config.dtype_policy().name == "float32"

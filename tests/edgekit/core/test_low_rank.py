import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek

X = np.random.default_rng(0).normal(size=(16, 6)).astype("float32")
Y = X[:, :1]


def adapted():
    """Half of the weights zero, and four values; then LoRA on the first layer."""
    model = keras.Sequential([keras.Input((6,)), layers.Dense(8, name="a"), layers.Dense(1)])
    for layer in model.layers:
        signs = np.sign(np.asarray(layer.kernel))
        layer.kernel.assign(signs * (np.arange(signs.size) % 2).reshape(signs.shape))
    model.get_layer("a").enable_lora(2)
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


@pytest.mark.parametrize("callback", [ek.KeepSparsity, ek.KeepClusters])
def test_what_lora_would_take_from_a_kernel_is_not_held(callback):
    model = adapted()
    with pytest.raises(ValueError, match="cannot hold the .* of .*a: LoRA trains what is added"):
        model.fit(X, Y, verbose=0, callbacks=[callback()])
    model.fit(X, Y, verbose=0, callbacks=[callback("dense")])  # other layers may be held


@pytest.mark.parametrize(
    "make",
    [lambda: ek.GradualPruning(0.5, ek.schedules.Constant()), lambda: ek.WeightClustering(4)],
)
def test_kernels_that_lora_has_frozen_are_named(make):
    with pytest.warns(UserWarning, match="leaves out .*a: LoRA has frozen the kernel"):
        adapted().fit(X, Y, verbose=0, callbacks=[make()])

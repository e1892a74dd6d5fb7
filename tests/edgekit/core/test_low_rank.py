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


def test_the_weights_go_into_a_model_without_lora(tmp_path):
    """The cure that the messages name, against NumPy."""
    model = adapted()
    layer = model.get_layer("a")
    kernel = np.asarray(layer.kernel)
    model.fit(X, Y, verbose=0)
    model.save_weights(tmp_path / "adapted.weights.h5")
    plain = keras.Sequential([keras.Input((6,)), layers.Dense(8, name="a"), layers.Dense(1)])
    plain.load_weights(tmp_path / "adapted.weights.h5")
    low_rank = np.asarray(layer.lora_kernel_a) @ np.asarray(layer.lora_kernel_b)
    share = layer.lora_alpha / layer.lora_rank
    np.testing.assert_allclose(plain.layers[0].kernel, kernel + share * low_rank, atol=1e-5)
    np.testing.assert_allclose(plain(X), model(X), atol=1e-5)


@pytest.mark.parametrize("kind", ["LoRA", "quantized to int8"])
def test_kernels_that_are_no_plain_variables_are_named(kind):
    model = adapted()
    if kind != "LoRA":
        model = keras.Sequential([keras.Input((6,)), layers.Dense(8, name="a")])
        model.quantize("int8")
    for rewrite in (
        ek.quantize_aware,
        ek.equalize,
        lambda m: ek.correct_bias(m, X, bits=4),
        lambda m: ek.adaround(m, X, bits=4),
    ):
        with pytest.raises(ValueError, match=f"layer .*a .*{kind}"):
            rewrite(model)

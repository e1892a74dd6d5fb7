"""What XNNPACK was seen to do, its refusal of x86 with AVX taken away, with each of these nets."""

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters.sparse_inference import sparse_inference


def net(start="padded", middle=None, end=None, zeros=0.9):
    """Pointwise convolutions, with so many of their weights zero."""
    keras.utils.set_random_seed(0)
    h = image = keras.Input((16, 16, 3))
    if start == "padded":
        h = layers.Conv2D(8, 3, strides=2)(layers.ZeroPadding2D(1)(h))
    else:
        h = layers.Conv2D(8, 3, strides=2, padding="same")(h)
    h = layers.Conv2D(64, 1, activation="relu")(layers.DepthwiseConv2D(3, padding="same")(h))
    h = layers.Conv2D(64, 1, activation="relu")(middle(h) if middle else h)
    h = end(h) if end else layers.Dense(10)(layers.GlobalAveragePooling2D()(h))
    model = keras.Model(image, h)
    rng = np.random.default_rng(0)
    for layer in model.layers:
        if isinstance(layer, layers.Dense) or getattr(layer, "kernel_size", None) == (1, 1):
            layer.kernel.assign(layer.kernel * (rng.random(layer.kernel.shape) > zeros))
    return model


def of(**how):
    return sparse_inference(ek.convert(net(**how))["float32"].content)


def test_a_net_it_is_made_for():
    def with_residual(h):
        return layers.Add()([h, layers.DepthwiseConv2D(5, padding="same")(h)])

    found = of(middle=with_residual)
    assert (found.reason, found.harm) == (None, None)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"start": "same"}, "does not start with a 3×3"),
        ({"zeros": 0.5}, "more than two thirds"),
        ({"end": layers.Flatten()}, "no average over the image"),
        (
            {"end": lambda h: layers.GlobalAveragePooling2D()(layers.MaxPooling2D()(h))},
            "MAX_POOL_2D, computes in another layout",
        ),
    ],
)
def test_why_it_makes_kernels_dense(how, words):
    found = of(**how)
    assert words in found.reason
    assert found.harm is None


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"middle": layers.DepthwiseConv2D(3, strides=2, padding="same")}, "CONV_2D"),
        ({"end": layers.GlobalAveragePooling2D(keepdims=True)}, "the output of"),
        (
            {"end": lambda h: [layers.GlobalAveragePooling2D()(h), layers.Conv2D(4, 1)(h)]},
            "reads its output in another order",
        ),
    ],
)
def test_what_it_would_compute_wrongly(how, words):
    assert words in of(**how).harm


def test_such_a_file_stays_dense_and_says_why():
    model = net(middle=layers.DepthwiseConv2D(3, strides=2, padding="same"))
    file = ek.convert(model, sparse=True)["float32"]
    assert file.content == ek.convert(model)["float32"].content
    assert "would fail or be wrong" in file.check.notes[-1]


def test_stored_sparse_and_dense_are_told_alike():
    model = net()
    dense, sparse = (ek.convert(model, sparse=how)["float32"] for how in (False, True))
    assert sparse.size < dense.size
    assert sparse_inference(sparse.content) == sparse_inference(dense.content)
    assert sparse.check.notes[-1].endswith("dense at load on x86 with AVX")


def test_integers():
    model = net()
    images = np.random.default_rng(0).random((8, 16, 16, 3), "float32")
    file = ek.convert(model, "int8", calibration=images, sparse=True)["int8"]
    assert "in float32 only" in file.check.notes[-1]

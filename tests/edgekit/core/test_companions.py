"""Whatever stands between a pruned filter and BatchNormalization, no constant is left of it."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from edgekit.core.companions import Companions, filters_alive
from edgekit.core.kernel_axes import LayerKernel, kernel_axes
from edgekit.core.kernels import select_kernels

RNG = np.random.default_rng(0)


def conv(name, filters=4):
    return layers.Conv2D(filters, 3, padding="same", bias_initializer="ones", name=name)


def norm(name="norm"):
    return layers.BatchNormalization(beta_initializer="ones", name=name)


def relu_between(x):
    return norm()(layers.ReLU()(conv("a")(x)))


def sigmoid_between(x):
    return norm()(layers.Conv2D(4, 3, activation="sigmoid", name="a")(x))


def concatenated(x):
    return norm()(layers.Concatenate()([conv("a")(x), conv("b", 2)(x), x]))


def added(x):
    return norm()(layers.Add()([conv("a")(x), conv("b")(x)]))


def added_by_an_operation(x):
    return norm()(ops.relu(conv("a")(x) + conv("b")(x)))


def beside_another_reader(x):
    a = conv("a")(x)
    return layers.Add()([norm()(a), conv("kept")(a)])


def through_depthwise(x):
    deep = layers.DepthwiseConv2D(2, depth_multiplier=2, bias_initializer="ones", name="deep")
    x = layers.MaxPooling2D()(layers.ReLU()(norm("first")(conv("a")(x))))
    return norm()(deep(x))


def gated(x):
    a = conv("a")(x)
    gate = layers.Dense(4, activation="sigmoid", name="gate")
    return norm()(layers.Multiply()([a, gate(layers.GlobalAveragePooling2D(keepdims=True)(a))]))


def in_a_nested_model(x):
    inner = keras.Input(x.shape[1:])
    return norm()(keras.Model(inner, layers.ReLU()(conv("a")(inner)))(x))


def one_norm_twice(x):
    shared = norm()
    return layers.Concatenate()([shared(conv("a")(x)), shared(conv("b")(x))])


@pytest.mark.parametrize(
    "build",
    [
        relu_between,
        sigmoid_between,
        concatenated,
        added,
        added_by_an_operation,
        beside_another_reader,
        through_depthwise,
        gated,
        in_a_nested_model,
        one_norm_twice,
    ],
)
def test_no_constant_is_left(build):
    """By the outputs: a channel that no input moves is zero; one that inputs move is spared."""
    inputs = keras.Input((4, 4, 3))
    model = keras.Model(inputs, build(inputs))
    kernels, masks = [], []
    for layer, variables in select_kernels(model, lambda layer: layer.name in "ab").items():
        (variable,) = variables
        kernels.append(LayerKernel(layer, variable, kernel_axes(layer, variable)))
        mask = np.ones(variable.shape, bool)
        mask[..., : 2 if layer.name == "a" else 1] = False
        masks.append(mask)
        variable.assign(RNG.normal(size=mask.shape) * mask)
    companions = Companions(model, kernels)
    for vector, mask in zip(companions.variables, companions.masks(masks), strict=True):
        vector.assign(np.where(mask, np.asarray(vector), 0))
    layer = model.get_layer("norm")
    found = [keras.Model(inputs, node.outputs[0]) for node in layer._inbound_nodes[:2]]
    moved = []
    for each in found:
        out = each.predict(RNG.normal(size=(16, 4, 4, 3)), verbose=0)
        moving = out.std(axis=(0, 1, 2)) > 1e-6
        moved.append(moving)
        if build is not one_norm_twice:  # there the other call needs it
            assert not out[..., ~moving].any()
    # Gamma goes exactly where no call of the layer has anything to say.
    np.testing.assert_array_equal(np.asarray(layer.gamma) != 0, np.any(moved, axis=0))
    assert not np.all(moved)


def test_filters_alive():
    layer = layers.Dense(3)
    layer.build((None, 2))
    kernel = LayerKernel(layer, layer.kernel, kernel_axes(layer, layer.kernel))
    mask = np.array([[True, False, True], [True, False, False]])
    assert filters_alive(mask, kernel).tolist() == [True, False, True]

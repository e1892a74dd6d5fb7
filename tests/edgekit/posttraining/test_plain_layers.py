"""Rewrites keep the function of models of all kinds, and say which layers they leave."""

import warnings

import keras
import numpy as np
import pytest
from keras import layers as kl
from keras import ops

from edgekit.posttraining.adaround import adaround
from edgekit.posttraining.correct_bias import correct_bias
from edgekit.posttraining.equalize import equalize
from edgekit.posttraining.fold_batchnorm import fold_batchnorm


class Standardized(kl.Dense):
    """Computes with its kernel centred, whatever factor a channel has."""

    def call(self, inputs):
        kernel = self.kernel - ops.mean(self.kernel, 0, keepdims=True)
        kernel /= ops.std(kernel, 0, keepdims=True) + 1e-3
        return ops.matmul(inputs, kernel) + self.bias


class Named(kl.Dense):
    """Only made in another way."""

    def __init__(self, units, **kwargs):
        super().__init__(units, name="named", **{k: v for k, v in kwargs.items() if k != "name"})


class Wavy(kl.BatchNormalization):
    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training) + ops.sin(inputs)


class Tanh(kl.ReLU):
    def call(self, inputs):
        return ops.tanh(inputs)


def relu(x):
    return ops.tanh(x)


def own_kernels(x):
    x = kl.BatchNormalization()(Standardized(6)(x))
    return kl.Dense(2)(kl.ReLU()(kl.BatchNormalization()(Standardized(6)(kl.ReLU()(x)))))


def own_batchnorm(x):
    return kl.Dense(2)(kl.ReLU()(Wavy()(kl.Dense(6)(x))))


def own_activation_layer(x):
    return kl.Dense(2)(Tanh()(kl.Dense(6)(x)))


def function_of_a_known_name(x):
    return kl.Dense(2)(kl.Activation(relu)(kl.Dense(6)(kl.Dense(6, activation=relu)(x))))


def low_rank(x):
    dense = kl.Dense(6)
    x = kl.BatchNormalization()(dense(x))
    dense.enable_lora(2)
    return kl.Dense(2)(kl.ReLU()(x))


def half(x):
    x = kl.Dense(6, dtype="float16")(x)
    x = kl.ReLU(dtype="float16")(kl.BatchNormalization(dtype="float16")(x))
    return kl.Dense(2, dtype="float16")(x)


def tall(name):
    """A model whose channels all lie above zero, by their BatchNormalization."""
    x = keras.Input((6,))
    layers = [kl.Dense(6, name="first"), kl.BatchNormalization(name="norm"), kl.ReLU(name="relu")]
    y = x
    for layer in (*layers, kl.Dense(6, name="second")):
        y = layer(y)
    return keras.Model(x, y, name=name)


def names_that_clash(x):
    high, low = tall("high"), tall("low")
    high.get_layer("norm").beta.assign(np.full(6, 50.0))
    return kl.Add()([high(x), low(x)])


def called_twice(x):
    both = tall("both")
    both.get_layer("norm").beta.assign(np.full(6, 5.0))
    return kl.Concatenate()([both(x), both(x * 0.5)])


def changed(make):
    """The model with weights in which wrong factors show, and samples."""
    keras.utils.set_random_seed(3)
    rng = np.random.default_rng(3)
    x = keras.Input((6,))
    model = keras.Model(x, make(x))
    for weight in model.weights:
        values = np.asarray(weight)
        if weight.path.endswith("kernel"):
            weight.assign(values * rng.uniform(0.2, 3, values.shape[-1]))
        if weight.path.endswith("moving_variance"):
            weight.assign(rng.uniform(20, 40, values.shape))  # of which no value is far away
        if weight.path.endswith("bias"):
            weight.assign(rng.normal(size=values.shape))
    return model, rng.uniform(-1, 1, (64, 6)).astype("float32")


@pytest.mark.parametrize("rewrite", [fold_batchnorm, equalize], ids=lambda f: f.__name__)
@pytest.mark.parametrize(
    "make",
    [own_kernels, own_batchnorm, own_activation_layer, function_of_a_known_name, half]
    + [names_that_clash, called_twice],
    ids=lambda make: make.__name__,
)
def test_the_function_stays(make, rewrite):
    model, x = changed(make)
    wanted, found = (np.asarray(m(x), "float64") for m in (model, rewrite(model)))
    allowed = 1e-2 if make is half else 1e-5
    assert np.abs(found - wanted).max() <= allowed * np.abs(wanted).max()


def test_a_kernel_that_lora_adapts_stays():
    model, x = changed(low_rank)
    np.testing.assert_allclose(fold_batchnorm(model)(x), model(x), atol=1e-5)


def test_a_class_that_changes_nothing_of_the_computation_is_folded():
    model, x = changed(lambda x: kl.BatchNormalization()(Named(4)(x)))
    folded = fold_batchnorm(model)
    assert [type(layer).__name__ for layer in folded.layers] == ["InputLayer", "Named"]
    np.testing.assert_allclose(folded(x), model(x), atol=1e-5)


@pytest.mark.parametrize(
    "rewrite",
    [lambda m, x: correct_bias(m, x, 4), lambda m, x: adaround(m, x, iterations=100)],
    ids=["correct_bias", "adaround"],
)
def test_layers_that_are_left_are_said(rewrite):
    def several(x):
        twice = kl.Dense(6, name="twice")
        x = Standardized(6, name="own")(twice(twice(x)))
        return kl.TimeDistributed(kl.Dense(2, name="inside"))(kl.Reshape((3, 2))(x))

    model, x = changed(several)
    with pytest.warns(UserWarning, match=r"leaves 'twice', 'own', 'inside' as they are \(3 in all"):
        found = rewrite(model, x)
    for wanted, same in zip(model.get_weights(), found.get_weights(), strict=True):
        np.testing.assert_array_equal(wanted, same)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        correct_bias(*changed(kl.Dense(2)), 4)


def test_samples_by_name():
    first, second = keras.Input((3,), name="zebra"), keras.Input((5,), name="ant")
    outputs = kl.Dense(2)(first) + kl.Dense(2)(second)
    rng = np.random.default_rng(0)
    x = {name: rng.normal(1, 1, (50, size)) for name, size in (("zebra", 3), ("ant", 5))}
    by_name = keras.Model({"zebra": first, "ant": second}, outputs)
    in_order = keras.Model([first, second], outputs)
    wanted = correct_bias(in_order, [x["zebra"], x["ant"]], bits=2).get_weights()
    for model in (by_name, in_order):
        found = {v.shape: v for v in correct_bias(model, x, bits=2).get_weights() if v.ndim == 2}
        assert all(np.array_equal(found[v.shape], v) for v in wanted if v.ndim == 2)
        biases = sorted(sum(v) for v in correct_bias(model, x, bits=2).get_weights() if v.ndim == 1)
        np.testing.assert_allclose(biases, sorted(sum(v) for v in wanted if v.ndim == 1), atol=1e-6)
    with pytest.raises(ValueError, match="names of the model's inputs, 'zebra', 'ant'. Received: "):
        correct_bias(in_order, {"zebra": x["zebra"]})

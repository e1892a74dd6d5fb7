import keras
import numpy as np
import pytest

import edgekit as ek
from converters.reader import read_model
from edgekit.core.kernel_layout import has_kernel, kernel_layout
from edgekit.posttraining import adaround, fold_batchnorm
from edgekit.posttraining.rounding import kernel_steps
from tests.edgekit.posttraining.test_correct_bias import data, net, with_rounded_kernels


@pytest.fixture(scope="module")
def rounded():
    model = net()
    return model, adaround(model, data(256), bits=4, iterations=300)


def kernels(model):
    return [layer for layer in model._flatten_layers() if has_kernel(layer)]


def test_better_than_the_nearest(rounded):
    model, better = rounded
    x = data(128, seed=1)
    expected = np.asarray(model(x))
    nearest = with_rounded_kernels(fold_batchnorm(model), 4)
    errors = [np.mean((np.asarray(m(x)) - expected) ** 2) for m in (nearest, better)]
    assert errors[1] < 0.5 * errors[0]


def test_each_weight_is_one_of_its_two_neighbours(rounded):
    model, better = rounded
    for plain, layer in zip(kernels(fold_batchnorm(model)), kernels(better), strict=True):
        original, kernel = np.asarray(plain.kernel), np.asarray(layer.kernel)
        steps = kernel_steps(original, kernel_layout(layer).channel_axes, 4)
        places = kernel / steps
        np.testing.assert_allclose(places, np.round(places), atol=1e-4)
        assert np.abs(np.round(places)).max() <= 7
        assert np.abs(places - original / steps).max() < 1 + 1e-4
        assert not np.array_equal(np.round(places), np.round(original / steps))


def test_the_converter_keeps_the_integers(rounded):
    better = rounded[1]
    file = ek.convert(better, "int4", calibration=data(32))["int4"]
    stored = [w for w in ek.inspect(file).weights if w.dtype == "int4"]
    assert len(stored) == len(kernels(better))
    weighted = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
    ops = [op for op in read_model(file.content).ops if op.name in weighted]
    for op, layer in zip(ops, kernels(better), strict=True):
        tensor = op.input_tensors[1]
        axis = 3 if op.name == "DEPTHWISE_CONV_2D" else 0
        shape = [1] * len(tensor.shape)
        shape[axis] = -1
        values = tensor.values * np.asarray(tensor.scales).reshape(shape)
        kernel = np.asarray(layer.kernel)
        wanted = kernel.T if kernel.ndim == 2 else np.moveaxis(kernel, -1, 0)
        if op.name == "DEPTHWISE_CONV_2D":
            wanted = kernel.reshape(1, *kernel.shape[:2], -1)
        np.testing.assert_allclose(values, wanted.reshape(values.shape), atol=1e-6)


def test_the_same_seed_gives_the_same_kernels():
    keras.utils.set_random_seed(3)
    model = keras.Sequential([keras.Input((12,)), keras.layers.Dense(6, activation="relu")])
    x = np.random.default_rng(0).normal(size=(64, 12)).astype("float32")
    one, two = (adaround(model, x, iterations=100).get_weights() for _ in range(2))
    for a, b in zip(one, two, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("options", [{"bits": 9}, {"iterations": 5}, {"iterations": 1e4}])
def test_bad_options(options):
    with pytest.raises(ValueError, match=f"`{next(iter(options))}` must be a whole number"):
        adaround(net(), data(), **options)

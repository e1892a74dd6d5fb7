import keras
import pytest
from keras import layers

from edgekit.core.kernels import own_kernels, select_kernels


def kernel_names(model, **options):
    return [layer.name for layer in select_kernels(model, **options)]


def test_kernels_of_a_cnn(cnn):
    assert kernel_names(cnn) == ["conv", "depthwise", "pointwise", "classes"]
    assert kernel_names(cnn, depthwise=False) == ["conv", "pointwise", "classes"]


def test_named_depthwise_layer_is_taken(cnn):
    assert kernel_names(cnn, layers="^depthwise$", depthwise=False) == ["depthwise"]


def test_separable_keeps_its_depthwise_kernel_out():
    model = keras.Sequential([keras.Input((8, 8, 3)), layers.SeparableConv2D(4, 3, name="s")])
    (kernels,) = select_kernels(model, depthwise=False).values()
    assert [k.name for k in kernels] == ["pointwise_kernel"]


def test_slopes_and_frozen_layers_are_no_kernels():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="d"), layers.PReLU()])
    assert kernel_names(model) == ["d"]
    model.get_layer("d").trainable = False
    with pytest.raises(ValueError, match="no trainable kernel .*Frozen, and so left out: .*d$"):
        select_kernels(model)


def test_the_factors_of_lora_are_no_kernels():
    model = keras.Sequential([keras.Input((8,)), layers.Dense(4, name="d"), layers.Dense(3)])
    model.get_layer("d").enable_lora(2)
    assert "d" not in kernel_names(model)
    with pytest.raises(ValueError, match="Frozen, and so left out: .*d$"):
        select_kernels(model, "d$")


def test_recurrent_kernels_belong_to_the_cell():
    model = keras.Sequential([keras.Input((3, 4)), layers.Bidirectional(layers.LSTM(5))])
    kernels = select_kernels(model)
    assert [len(k) for k in kernels.values()] == [2, 2]
    assert own_kernels(model.layers[0]) == []


def test_subclassed_model():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = layers.Dense(3)

        def call(self, x):
            return self.dense(x)

    model = Net()
    with pytest.raises(ValueError, match="no weights yet"):
        select_kernels(model)
    model(keras.ops.ones((1, 2)))
    assert len(select_kernels(model)) == 1

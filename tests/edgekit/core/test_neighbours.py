import keras
from keras import layers

from edgekit.core.neighbours import batchnorm_after, batchnorm_before, first_layers, last_layers


def names(found):
    return {layer.name for layer in found}


def by_name(pairs):
    return {layer.name: batchnorm.name for layer, batchnorm in pairs.items()}


def test_of_a_cnn(cnn):
    assert by_name(batchnorm_after(cnn)) == {"conv": "conv_bn", "depthwise": "depthwise_bn"}
    before = by_name(batchnorm_before(cnn))
    assert before["pointwise"] == "depthwise_bn"
    assert before["depthwise"] == "conv_bn"
    assert "classes" not in before  # a sum stands between
    kernels = {cnn.get_layer(n) for n in ("conv", "depthwise", "pointwise", "classes")}
    assert names(first_layers(cnn, kernels)) == {"conv"}
    assert names(last_layers(cnn, kernels)) == {"classes"}


def test_of_two_inputs_and_outputs_and_a_model_inside():
    inner = keras.Sequential(
        [keras.Input((4,)), layers.Dense(4, name="in"), layers.Dense(4, name="out")]
    )
    a, b = keras.Input((4,)), keras.Input((4,))
    left = layers.ReLU()(inner(a))
    right = layers.Dense(4, name="right")(b)
    both = layers.Dense(2, name="head")(layers.Add()([left, right]))
    model = keras.Model([a, b], [both, left])
    kernels = {*inner.layers, model.get_layer("right"), model.get_layer("head")}
    assert names(first_layers(model, kernels)) == {"in", "right"}
    assert names(last_layers(model, kernels)) == {"head", "out"}


def test_a_subclassed_model_is_traced():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.conv, self.norm = layers.Conv2D(4, 3, name="conv"), layers.BatchNormalization()
            self.head = layers.Dense(2, name="head")

        def call(self, x):
            x = keras.ops.relu(self.norm(self.conv(x)))
            return self.head(keras.ops.mean(x, axis=(1, 2)))

    net = Net()
    net(keras.ops.zeros((1, 8, 8, 3)))
    assert last_layers(net, {net.conv, net.head}) == {net.head}
    assert first_layers(net, {net.conv, net.head}) == {net.conv}
    assert batchnorm_after(net) == {net.conv: net.norm}


def test_a_model_that_cannot_be_traced_has_no_neighbours():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(2)

        def call(self, x):
            return self.head(x * float(keras.ops.convert_to_numpy(x).max() >= 0))

    net = Net()
    net(keras.ops.zeros((1, 3)))
    assert last_layers(net, {net.head}) == set()
    assert batchnorm_after(net) == {}


def test_a_wrapper_of_quantisation_aware_training_holds_both(cnn):
    import edgekit as ek

    qat = ek.quantize_aware(cnn)
    found = {layer.name: batchnorm.name for layer, batchnorm in batchnorm_after(qat).items()}
    assert found == {"conv": "conv_bn", "depthwise": "depthwise_bn"}

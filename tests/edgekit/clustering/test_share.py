import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


def make_net(blocks=3, batchnorm=False):
    x = inputs = keras.Input((48,))
    for number in range(blocks):
        y = layers.Dense(48, activation="relu", name=f"block_{number}_dense")(x)
        if batchnorm:
            y = layers.BatchNormalization(name=f"block_{number}_bn")(y)
        x = layers.Add(name=f"block_{number}_add")([x, y])
    return keras.Model(inputs, layers.Dense(4, name="head")(x), name="net")


@pytest.fixture
def net():
    return make_net()


def test_the_flatbuffer_stores_shared_weights_once(net):
    shared = ek.share(net, ["block_._dense"])
    x = np.random.default_rng(0).standard_normal((8, 48)).astype("float32")
    before, after = (ek.convert(m, ["float32"])["float32"] for m in (net, shared))
    assert before.size - after.size > 2 * 4 * 48 * 48 * 0.95
    np.testing.assert_allclose(after.predict(x), shared.predict(x, verbose=0), atol=1e-5)
    assert shared.count_params() == net.count_params() - 2 * (48 * 48 + 48)


def test_an_int8_file_stores_them_once_too(net):
    shared = ek.share(net, ["block_._dense"])
    x = np.random.default_rng(0).standard_normal((64, 48)).astype("float32")
    before, after = (ek.convert(m, ["int8"], calibration=x)["int8"] for m in (net, shared))
    assert before.size - after.size > 2 * 48 * 48 * 0.95


def test_it_computes_what_equal_layers_would(net):
    first = net.get_layer("block_0_dense").get_weights()
    x = np.random.default_rng(0).standard_normal((8, 48)).astype("float32")
    shared = ek.share(net, ["block_._dense"]).predict(x, verbose=0)
    assert np.abs(shared - net.predict(x, verbose=0)).max() > 1e-2
    for number in (1, 2):
        net.get_layer(f"block_{number}_dense").set_weights(first)
    np.testing.assert_allclose(shared, net.predict(x, verbose=0), atol=1e-5)


def test_it_may_start_with_the_mean(net):
    kernels = [net.get_layer(f"block_{n}_dense").get_weights()[0] for n in range(3)]
    shared = ek.share(net, ["block_._dense"], weights="mean")
    found = shared.get_layer("block_0_dense").get_weights()[0]
    np.testing.assert_allclose(found, np.mean(kernels, axis=0), atol=1e-6)
    np.testing.assert_array_equal(net.get_layer("block_0_dense").get_weights()[0], kernels[0])


def test_it_trains_prunes_and_clusters_as_one(net):
    shared = ek.share(net, [["block_0", "block_1"]])
    shared.compile("adam", "mse")
    x = np.random.default_rng(0).standard_normal((64, 48)).astype("float32")
    callbacks = [ek.GradualPruning(0.5), ek.WeightClustering(8)]
    for callback in callbacks:
        shared.fit(x, x[:, :4], epochs=2, verbose=0, callbacks=[callback])
    kernel = np.asarray(shared.get_layer("block_0_dense").kernel)
    assert np.mean(kernel == 0) >= 0.5
    assert len(np.unique(kernel)) == 8
    assert "block_1_dense" not in [layer.name for layer in shared.layers]


def test_batchnorms_are_shared_where_they_are_named():
    net = make_net(batchnorm=True)
    shared = ek.share(net, ["block_._dense", "block_._bn"])
    before, after = (ek.convert(m, ["float32"])["float32"] for m in (net, shared))
    assert before.size - after.size > 2 * 4 * 48 * 48 * 0.95
    with pytest.raises(ValueError, match=r"block_0_dense \(Dense\) and block_0_bn \(Batch"):
        ek.share(net, ["block_0"])


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (["head"], "group of one layer"),
        (["block_._dense", "block_[01]_dense"], "block_0_dense, block_1_dense in two groups"),
        (["dense|head"], "block_0_dense has units=48, head has units=4"),
        (["nothing"], "matches no layer"),
        ("block", "list of selections"),
        ([], "list of selections"),
    ],
)
def test_groups_that_make_no_sense(net, groups, message):
    with pytest.raises(ValueError, match=message):
        ek.share(net, groups)
    with pytest.raises(ValueError, match="weights='last'"):
        ek.share(net, ["block_._dense"], weights="last")


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.TimeDistributed(layers.Dense(6)),
        lambda: layers.Bidirectional(layers.LSTM(3, return_sequences=True)),
        lambda: keras.Sequential([keras.Input((5, 6)), layers.Dense(6), layers.Dense(6)]),
        lambda: nested(),
    ],
)
def test_layers_with_layers_inside_are_shared_whole(make):
    x = inputs = keras.Input((5, 6))
    for _ in range(2):
        x = make()(x)
    net = keras.Model(inputs, x)
    group = [layer.name for layer in net.layers if layer.weights]
    shared = ek.share(net, [group])
    assert shared.count_params() == net.count_params() / 2
    values = np.random.default_rng(0).standard_normal((2, 5, 6)).astype("float32")
    net.get_layer(group[1]).set_weights(net.get_layer(group[0]).get_weights())
    np.testing.assert_allclose(
        shared.predict(values, verbose=0), net.predict(values, verbose=0), atol=1e-5
    )


def nested(activation="relu"):
    x = inputs = keras.Input((5, 6))
    y = layers.Dense(6, activation=activation)(x)
    return keras.Model(inputs, layers.Add()([x, y]))


def test_nested_models_that_differ_inside_are_refused():
    x = inputs = keras.Input((5, 6))
    net = keras.Model(inputs, nested("tanh")(nested()(x)))
    with pytest.raises(ValueError, match="differ in more than their weights"):
        ek.share(net, [[layer.name for layer in net.layers if layer.weights]])

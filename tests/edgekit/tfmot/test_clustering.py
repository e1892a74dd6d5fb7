"""TFMOT's clustering with edgekit's arguments; each test closes one of its traps."""

import numpy as np
import pytest

from edgekit import tfmot


def values(model) -> dict:
    return {
        layer.name: len(np.unique(layer.kernel.numpy()))
        for layer in model.layers
        if hasattr(layer, "kernel")
    }


@pytest.mark.parametrize("init", ["linear", "density", "random", "kmeans++"])
def test_each_kernel_has_so_many_values(old_net, train, init):
    clustered, callbacks = tfmot.cluster(old_net, {"conv": 8, "classes": 4}, init)
    train(clustered, callbacks)
    found = values(tfmot.strip(clustered))
    assert found["conv"] <= 8
    assert found["classes"] <= 4
    assert found["pointwise"] > 8


def test_zeros_stay_zero(sparse, shared):
    for layer in ("conv", "pointwise", "classes"):
        before = sparse.get_layer(layer).kernel.numpy() == 0
        after = shared.get_layer(layer).kernel.numpy()
        assert np.all(after[before] == 0)
        assert len(np.unique(after)) <= 8


def test_batchnorm_and_dropout_train_as_before(old_net, train):
    """TFMOT's wrapper does not hand `training` on to the layer inside."""
    clustered, callbacks = tfmot.cluster(old_net, 8)
    before = clustered.get_layer("bn").moving_mean.numpy().copy()
    train(clustered, callbacks)
    assert np.abs(clustered.get_layer("bn").moving_mean.numpy() - before).max() > 0


def test_the_source_can_train_on(old_net, images, tk, train):
    """TFMOT's own function leaves it with tensors of another graph."""
    source = tk.models.clone_model(old_net)
    source.set_weights(old_net.get_weights())
    clustered, callbacks = tfmot.cluster(source, 8)
    train(clustered, callbacks)
    np.testing.assert_array_equal(source.get_layer("conv").kernel, old_net.get_layer("conv").kernel)
    train(source, epochs=1)


def test_a_layer_that_tfmot_would_skip_is_named(old_net):
    with pytest.raises(ValueError, match=r"'conv' as it is: .*use_bias=False"):
        tfmot.cluster(old_net, 4, granularity="channel")
    clustered, _ = tfmot.cluster(old_net, 4, granularity="channel", layers="pointwise")
    assert any(type(layer).__name__ == "ClusterWeights" for layer in clustered.layers)


def test_more_clusters_than_weights_are_refused(old_net):
    with pytest.raises(ValueError, match="'classes' as it is: 48 clusters .* its 48 weights. Ask"):
        tfmot.cluster(old_net, {"classes": 48})
    with pytest.raises(ValueError, match="its 8 weights per channel"):
        tfmot.cluster(old_net, 8, granularity="channel", layers="pointwise")


def test_bad_arguments_say_so(old_net):
    with pytest.raises(TypeError, match="`keep_zeros` must be True or False. Received: 'x'"):
        tfmot.cluster(old_net, 4, keep_zeros="x")
    with pytest.raises(ValueError, match="whole number ≥ 3, zero among them .*Received: 1"):
        tfmot.cluster(old_net, 1)
    with pytest.raises(ValueError, match="whole number ≥ 2. Received: 1"):
        tfmot.cluster(old_net, 1, keep_zeros=False)
    with pytest.raises(ValueError, match="`init` must be one of linear, .*Received: 'best'"):
        tfmot.cluster(old_net, 4, "best")
    with pytest.raises(ValueError, match="`gradient` must be one of mean, sum"):
        tfmot.cluster(old_net, 4, gradient="max")

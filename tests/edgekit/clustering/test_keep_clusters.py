import keras
import numpy as np
import pytest

import edgekit as ek


def compiled(model):
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    return model


def test_equal_weights_stay_equal_and_train(cnn, data):
    x, y = data
    compiled(cnn).fit(x, y, verbose=0, callbacks=[ek.WeightClustering({"pointwise": 4})])
    before = np.asarray(cnn.get_layer("pointwise").kernel)
    cnn.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepClusters()])
    after = np.asarray(cnn.get_layer("pointwise").kernel)
    for value in np.unique(before):
        assert len(np.unique(after[before == value])) == 1
    assert np.abs(after - before).min() > 0
    assert len(np.unique(np.asarray(cnn.get_layer("conv").kernel))) == 216


def test_zeros_of_a_pruned_kernel_alone_are_no_clusters(cnn, data):
    x, y = data
    compiled(cnn).fit(x, y, verbose=0, callbacks=[ek.GradualPruning(0.8)])
    with pytest.raises(ValueError, match="none of the 4 selected kernels has shared weights"):
        cnn.fit(x, y, verbose=0, callbacks=[ek.KeepClusters()])


def test_ternary_stays_ternary(cnn, data):
    x, y = data
    compiled(cnn).fit(x, y, verbose=0, callbacks=[ek.WeightClustering({"conv$": "ternary"})])
    cnn.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepClusters()])
    low, middle, high = np.unique(np.asarray(cnn.get_layer("conv").kernel))
    assert (low, middle) == (-high, 0)

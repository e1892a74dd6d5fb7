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


def clustered_qat(trained, data, fold, scheme):
    """A clustered model after quantisation-aware training, and its int8 file."""
    x, y = data
    model = ek.fold_batchnorm(trained) if fold else ek.strip(trained)
    compiled(model).fit(x, y, verbose=0, callbacks=[ek.WeightClustering({"conv|point|clas": 6})])
    qat = ek.quantize_aware(model, scheme)
    compiled(qat).fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepClusters()])
    return qat, ek.convert(qat, ["int8"])["int8"]


def integers(file):
    """`{kernel: its integers}` of those convolutions and dense layers that were clustered."""
    from converters.reader import read_model

    kernels = [op.input_tensors[1] for op in read_model(file.content).ops if op.name in CLUSTERED]
    return {kernel.name: kernel.values for kernel in kernels}


CLUSTERED = ("CONV_2D", "FULLY_CONNECTED")


def test_an_int8_tensor_has_no_more_integers_than_its_kernel_has_values(trained, data):
    scheme = ek.QuantScheme(per_channel=False)
    qat, file = clustered_qat(trained, data, fold=True, scheme=scheme)
    for name in ("conv", "pointwise", "classes"):
        assert len(np.unique(np.asarray(ek.strip(qat).get_layer(name).kernel))) == 6
    found = integers(file)
    assert len(found) == 3
    for name, values in found.items():
        assert values.dtype == np.int8
        assert 2 < len(np.unique(values)) <= 6, name


def test_with_a_scale_per_channel_each_channel_keeps_its_number(trained, data):
    _, file = clustered_qat(trained, data, fold=False, scheme="int8")
    counts = []
    for values in integers(file).values():
        assert values.dtype == np.int8
        for channel in values.reshape(len(values), -1):
            assert len(np.unique(channel)) <= 6
        counts.append(len(np.unique(values)))
    assert max(counts) > 6  # said in the docstring


def test_sparse_and_per_channel_clusters_are_kept_too(cnn, data):
    x, y = data
    compiled(cnn).fit(x, y, epochs=2, verbose=0, callbacks=[ek.GradualPruning({"classes": 0.8})])
    sharing = [
        ek.WeightClustering({"classes": 4}),
        ek.WeightClustering(16, granularity="channel", layers="^conv$"),
    ]
    cnn.fit(x, y, verbose=0, callbacks=sharing)
    before = {n: np.asarray(cnn.get_layer(n).kernel) for n in ("classes", "conv")}
    cnn.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepClusters()])
    classes = np.asarray(cnn.get_layer("classes").kernel)
    assert (classes[before["classes"] == 0] == 0).all()
    assert len(np.unique(classes)) <= 4
    for channel in np.moveaxis(np.asarray(cnn.get_layer("conv").kernel), -1, 0):
        assert len(np.unique(channel)) <= 16


def test_zeros_of_kernels_that_are_pruned_but_not_clustered_stay(cnn, data):
    """As the stages prune, cluster, quantize leave them where not all layers are clustered."""
    x, y = data
    compiled(cnn).fit(x, y, verbose=0, callbacks=[ek.GradualPruning(0.5)])
    callbacks = [ek.WeightClustering({"pointwise": 4}), ek.KeepSparsity("^conv$|classes")]
    cnn.fit(x, y, verbose=0, callbacks=callbacks)
    cnn.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepClusters()])
    for name in ("conv", "pointwise", "classes"):
        assert np.mean(np.asarray(cnn.get_layer(name).kernel) == 0) == 0.5
    assert len(np.unique(np.asarray(cnn.get_layer("pointwise").kernel))) == 4


def test_a_new_layer_that_begins_at_zero_learns(data):
    x, y = data
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(8, name="hidden")(inputs)
    head = keras.layers.Dense(4, activation="softmax", kernel_initializer="zeros", name="head")
    model = compiled(keras.Model(inputs, head(hidden)))
    kernel = model.get_layer("hidden").kernel
    kernel.assign(np.sign(np.asarray(kernel)))
    model.fit(x.mean(axis=(1, 2)), y, verbose=0, callbacks=[ek.KeepClusters()])
    assert np.asarray(head.kernel).all()
    assert len(np.unique(np.asarray(kernel))) == 2

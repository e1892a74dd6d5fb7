import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek


def test_zeros_stay_and_the_rest_trains(cnn, data):
    kernel = cnn.get_layer("pointwise").kernel
    values = np.asarray(kernel).copy()
    values[..., ::2] = 0
    kernel.assign(values)
    x, y = data
    cnn.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    cnn.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepSparsity()])
    after = np.asarray(kernel)
    np.testing.assert_array_equal(after[..., ::2], 0)
    assert np.abs(after[..., 1::2] - values[..., 1::2]).min() > 0
    assert np.mean(np.asarray(cnn.get_layer("conv").kernel) == 0) == 0
    assert kernel.constraint is None


def test_a_dense_model_is_an_error(cnn, data):
    x, y = data
    cnn.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="none of the 4 selected kernels holds a zero"):
        cnn.fit(x, y, verbose=0, callbacks=[ek.KeepSparsity()])


def test_zeros_survive_quantisation_aware_training(trained, data):
    pruned = ek.strip(trained)
    kernel = pruned.get_layer("pointwise").kernel
    mask = np.random.default_rng(0).random(kernel.shape) < 0.3
    kernel.assign(np.asarray(kernel) * mask)
    qat = ek.quantize_aware(pruned)
    x, y = data
    qat.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy")
    qat.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepSparsity()])
    after = np.asarray(ek.strip(qat).get_layer("pointwise").kernel)
    np.testing.assert_array_equal(after[~mask], 0)
    assert np.mean(after[mask] == 0) == 0


def new_head(data, **options):
    """A half-sparse layer under a head that begins at zero."""
    x, y = data
    x = x.mean(axis=(1, 2))
    body = layers.Dense(16, activation="relu", name="body")
    head = layers.Dense(4, activation="softmax", name="head", **options)
    model = keras.Sequential([keras.Input((3,)), body, head])
    kernel = np.asarray(body.kernel).copy()
    kernel[:, ::2] = 0
    body.kernel.assign(kernel)
    model.compile(keras.optimizers.Adam(0.05), "sparse_categorical_crossentropy")
    return model, x, y


def test_a_new_layer_that_begins_at_zero_learns(data):
    model, x, y = new_head(data, kernel_initializer="zeros")
    model.fit(x, y, epochs=2, verbose=0, callbacks=[ek.KeepSparsity()])
    assert np.asarray(model.get_layer("head").kernel).any()
    assert np.mean(np.asarray(model.get_layer("body").kernel) == 0) == 0.5


def test_a_layer_that_was_pruned_as_a_whole_stays_so_and_that_is_said(data):
    model, x, y = new_head(data)
    head = model.get_layer("head").kernel
    head.assign(np.zeros(head.shape))
    with pytest.warns(UserWarning, match="KeepSparsity holds all of .*head/kernel at zero"):
        model.fit(x, y, verbose=0, callbacks=[ek.KeepSparsity()])
    assert not np.asarray(head).any()


def test_zeros_are_those_that_other_callbacks_bring_when_the_fit_begins(cnn, data):
    """As BackupAndRestore does when a fit is resumed, wherever it stands in the list."""

    class Restore(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            kernel = self.model.get_layer("pointwise").kernel
            kernel.assign(np.tri(8).reshape(kernel.shape))

    x, y = data
    cnn.compile("adam", "sparse_categorical_crossentropy")
    cnn.fit(x, y, verbose=0, callbacks=[ek.KeepSparsity(), Restore()])
    kernel = np.asarray(cnn.get_layer("pointwise").kernel)[0, 0]
    np.testing.assert_array_equal(kernel == 0, np.tri(8) == 0)

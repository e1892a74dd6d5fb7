import keras
import numpy as np
import pytest

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

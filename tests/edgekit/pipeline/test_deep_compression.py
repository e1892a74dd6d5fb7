import keras
import ml_dtypes
import numpy as np
import pytest
import tensorflow as tf

import edgekit as ek
from tests.conftest import make_cnn


def compiled(model, optimizer="adam"):
    model.compile(optimizer, "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def compress(model, data, **options):
    x, y = data
    options = {"sparsity": 0.75, "bits": 3, "epochs": (2, 1), "verbose": 0, **options}
    return ek.deep_compress(model, x, y, **options)


def test_the_file_is_pruned_clustered_packed_and_the_models(cnn, data):
    optimizer = keras.optimizers.Adam(0.01)
    model = compiled(cnn, optimizer)
    small = compress(model, data, validation_data=data)
    assert small.model is model
    assert model.optimizer is optimizer
    for name in ("conv", "pointwise", "classes"):
        kernel = np.asarray(model.get_layer(name).kernel)
        assert np.mean(kernel == 0) >= 0.75
        assert len(np.unique(kernel)) <= 8
        np.testing.assert_array_equal(kernel, kernel.astype(ml_dtypes.bfloat16))
    assert ek.unpack(small.packed.content).content == small.file.content
    x, _ = data
    np.testing.assert_allclose(small.file.predict(x), model.predict(x, verbose=0), atol=1e-5)
    assert set(small.metrics) == {"given", "pruned", "clustered"}
    score = model.evaluate(*data, verbose=0, return_dict=True)
    assert small.metrics["clustered"] == pytest.approx(score)
    assert small.ratio == 4 * model.count_params() / small.packed.size


def test_the_same_seed_gives_the_same_bytes(data):
    found = []
    for _ in range(2):
        keras.utils.set_random_seed(0)
        found.append(compress(compiled(make_cnn()), data).packed.content)
    assert found[0] == found[1]


def test_settings_per_layer_a_tf_data_set_and_int8(cnn, data):
    x, y = data
    batches = tf.data.Dataset.from_tensor_slices((x, y)).batch(32)
    small = ek.deep_compress(
        compiled(cnn),
        batches,
        sparsity={"pointwise": 0.5},
        bits={"pointwise": 2, "classes": 1},
        epochs=(1, 1),
        format="int8",
        verbose=0,
    )
    kernel = np.asarray(cnn.get_layer("pointwise").kernel)
    assert len(np.unique(kernel)) <= 4
    assert len(np.unique(np.asarray(cnn.get_layer("classes").kernel))) == 2
    assert np.mean(np.asarray(cnn.get_layer("conv").kernel) == 0) == 0
    assert {op.dtype for op in ek.inspect(small.file).ops} == {"int8"}
    unknown = batches.filter(lambda image, label: True)
    with pytest.raises(ValueError, match="unknown length"):
        ek.deep_compress(cnn, unknown, verbose=0)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"epochs": 3}, ValueError, "two whole numbers"),
        ({"epochs": (0, 1)}, ValueError, "two whole numbers"),
        ({"learning_rate": 0}, ValueError, "learning_rate=0"),
        ({"bits": 0}, ValueError, "bits=0"),
        ({"sparsity": 90}, ValueError, "did you mean 0.9"),
        ({"format": "int7"}, ValueError, "formats"),
        ({"format": ["int8"]}, TypeError, "one format's name"),
        ({"learning_rate": float("nan")}, ValueError, "learning_rate=nan"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"batch_size": 32.5}, ValueError, "batch_size=32.5"),
        ({"validation_data": ([1],)}, ValueError, "a tuple of 1"),
        ({"callbacks": "early"}, TypeError, "list of Keras callbacks. Received: str"),
        ({"callbacks": [None]}, TypeError, "list of Keras callbacks. Received: NoneType"),
    ],
)
def test_bad_arguments_are_refused_before_training(cnn, data, options, error, message):
    before = cnn.get_weights()
    with pytest.raises(error, match=message):
        compress(compiled(cnn), data, **options)
    for old, new in zip(before, cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_an_interrupted_stage_leaves_nothing_on_the_model(cnn, data):
    class Interrupt(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            if self.model.get_layer("conv").kernel.constraint is not None:
                raise KeyboardInterrupt

    model = compiled(cnn)
    own = model.optimizer
    with pytest.raises(KeyboardInterrupt):
        compress(model, data, callbacks=Interrupt())
    assert model.get_layer("conv").kernel.constraint is None
    assert model.optimizer is own


def test_validation_data_may_have_weights_and_be_a_list(cnn, data):
    x, y = data
    weights = np.zeros(len(x))
    weights[:10] = 1
    options = {"epochs": (1, 1), "validation_data": [x, y, weights]}
    small = compress(compiled(cnn), data, **options)
    score = small.model.evaluate(x, y, sample_weight=weights, verbose=0, return_dict=True)
    assert small.metrics["clustered"] == pytest.approx(score)


def test_what_is_no_compiled_model_is_refused(cnn, data):
    with pytest.raises(ValueError, match="is not compiled"):
        compress(cnn, data)
    with pytest.raises(TypeError, match="Keras 3 model. Received: str"):
        compress("model.keras", data)


def test_a_loss_scale_optimizer_is_unwrapped(cnn, data):
    own = keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01))
    small = compress(compiled(cnn, own), data, epochs=(1, 1))
    assert cnn.optimizer is own
    assert len(np.unique(np.asarray(small.model.get_layer("conv").kernel))) <= 8

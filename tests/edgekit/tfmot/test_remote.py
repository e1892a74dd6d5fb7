"""Models of Keras 3 in TFMOT's process."""

import os

import keras
import numpy as np
import pytest

import edgekit as ek
from edgekit import tfmot


def kernels(model) -> dict:
    return {
        layer.name: np.asarray(layer.kernel) for layer in model.layers if hasattr(layer, "kernel")
    }


@pytest.fixture
def train(tk, images):
    """Compiled with objects of Keras 3, as their users have them."""

    def run(model, callbacks=(), epochs=3):
        steps = epochs * 8
        rate = keras.optimizers.schedules.CosineDecay(1e-3, steps)
        model.compile(
            keras.optimizers.Adam(rate),
            keras.losses.SparseCategoricalCrossentropy(),
            metrics=["accuracy"],
        )
        return model.fit(*images, epochs=epochs, callbacks=callbacks, verbose=False)

    return run


@pytest.fixture(scope="session")
def net(old_net):
    """The same net in Keras 3."""
    return ek.migrate(old_net).model


def test_pruned_there_and_plain_here(net, images, train, capfd):
    pruned, callbacks = tfmot.prune(net, 0.75, ek.schedules.Polynomial(end=0.5))
    history = train(pruned, callbacks)
    assert len(history.history["loss"]) == 3
    assert set(history.history) == {"loss", "accuracy"}
    plain = tfmot.strip(pruned)
    assert isinstance(plain, keras.Model)
    assert [layer.name for layer in plain.layers] == [layer.name for layer in net.layers]
    assert np.mean(kernels(plain)["pointwise"] == 0) == 0.75
    outputs = pruned.predict(images[0][:8])
    np.testing.assert_allclose(plain(images[0][:8]), outputs, atol=1e-5)
    found = pruned.evaluate(*images)
    agree = np.mean(np.asarray(plain(images[0])).argmax(-1) == images[1])
    assert found["accuracy"] == pytest.approx(agree, abs=1e-4)
    pruned.close()


def test_quantised_there_and_integer_here(net, images, train):
    with tfmot.quantize_aware(net)[0] as qat:
        train(qat)
        file = qat.convert("int8")["int8"]
        assert set(ek.inspect(file).op_dtypes) == {"int8"}
        apart = np.abs(file.predict(images[0]) - qat.predict(images[0]))
        assert np.mean(apart <= 1 / 256) > 0.95
        assert kernels(tfmot.strip(qat)).keys() == kernels(net).keys()


def test_one_after_the_other_keeps_what_was_made(net, train):
    pruned, _ = tfmot.prune(net, 0.5)
    train(pruned)
    clustered, _ = tfmot.cluster(tfmot.strip(pruned), 8)
    train(clustered)
    shared = tfmot.strip(clustered)
    qat, _ = tfmot.preserve(shared, "PCQAT")
    train(qat)
    for name, kernel in kernels(tfmot.strip(qat)).items():
        if name != "depthwise":
            assert len(np.unique(kernel)) <= 8
            assert np.mean(kernel == 0) >= 0.5
    for model in (pruned, clustered, qat):
        model.close()


def test_errors_come_back_as_they_are(net, images):
    with pytest.raises(ValueError, match="must be from 0 to below 1. Received: 2"):
        tfmot.prune(net, 2)
    pruned, _ = tfmot.prune(net, 0.5, ek.schedules.Polynomial(end=500))
    with pytest.raises(ValueError, match="strip it first"):
        tfmot.cluster(pruned, 8)
    pruned.compile("adam", "sparse_categorical_crossentropy")
    with pytest.raises(ValueError, match="ends at step 500, but the fit has only 8 steps"):
        pruned.fit(*images, verbose=False)
    with pytest.raises(ValueError, match="cannot run in TFMOT's"):
        pruned.fit(*images, callbacks=[keras.callbacks.TerminateOnNaN()])
    with pytest.raises(ValueError, match="`x` must be arrays"):
        pruned.fit(iter([]))
    pruned.close()
    with pytest.raises(ValueError, match="'old' is closed"):
        pruned.predict(images[0])


def test_what_tf_keras_has_not_is_named(tk):
    inputs = keras.Input((8, 8, 3))
    x = keras.layers.RMSNormalization(name="rms")(inputs)
    x = keras.layers.Conv2D(4, 3, name="conv")(x) * 2.0
    with pytest.raises(ValueError, match="'rms' is no layer of tf_keras; Multiply"):
        tfmot.prune(keras.Model(inputs, x), 0.5)


def test_a_function_cannot_go_there(net):
    with pytest.raises(ValueError, match="choose layers by regular expressions"):
        tfmot.prune(net, 0.5, layers=lambda layer: True)


def test_this_process_stays_as_it_is(net):
    import tensorflow as tf

    tfmot.prune(net, 0.5)[0].close()
    assert "TF_USE_LEGACY_KERAS" not in os.environ
    assert tf.keras.Model is keras.Model


def test_progress_is_a_line_per_epoch(net, images, capsys):
    pruned, _ = tfmot.prune(net, 0.5)
    pruned.compile("adam", "sparse_categorical_crossentropy")
    pruned.fit(*images, epochs=2)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["epoch 1/2", "epoch 2/2"]
    pruned.close()

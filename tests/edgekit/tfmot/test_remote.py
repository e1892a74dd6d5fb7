"""Models of Keras 3 in TFMOT's process."""

import _thread
import os
import signal
import threading

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
        file = ek.convert(qat, "int8")["int8"]
        assert file.check is not None
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


def test_outputs_keep_their_names(tk):
    image = keras.Input((4,), name="image")
    x = keras.layers.Dense(8, activation="relu", name="body")(image)
    outputs = {
        "q": keras.layers.Dense(3, activation="softmax", name="classes")(x),
        "p": keras.layers.Dense(1, name="value")(x),
    }
    data = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    wanted = {"p": data[:, :1], "q": data[:, :3].argmax(-1)}
    for given, p, q in ((outputs, "p", "q"), (list(outputs.values()), "value", "classes")):
        source = keras.Model(image, given)
        with tfmot.prune(source, 0.5)[0] as pruned:
            losses = {p: "mse", q: keras.losses.SparseCategoricalCrossentropy()}
            pruned.compile("adam", losses, metrics={q: ["accuracy"]})
            targets = {p: wanted["p"], q: wanted["q"]}
            history = pruned.fit({"image": data}, targets, epochs=2, verbose=False)
            assert len(history.history["loss"]) == 2
            found, plain = pruned.predict(data), tfmot.strip(pruned)(data)
            assert type(found) is type(given)
            keras.tree.map_structure(
                lambda one, two: np.testing.assert_allclose(one, two, atol=1e-5), found, plain
            )
            with pytest.raises(ValueError, match="`y` names 'r'; the outputs of"):
                pruned.fit(data, targets | {"r": data})


def test_masks_are_made_there_too(tk):
    source = keras.Sequential(
        [
            keras.Input((6,), dtype="int32"),
            keras.layers.Embedding(20, 4, mask_zero=True),
            keras.layers.LSTM(4),
            keras.layers.Dense(2, name="classes"),
        ]
    )
    words = np.random.default_rng(0).integers(1, 20, (8, 6))
    words[:4, 3:] = 0
    with tfmot.cluster(source, 3, layers="classes")[0] as clustered:
        clustered.compile("sgd", "mse")
        clustered.fit(words, np.zeros((8, 2)), verbose=False)
        plain = tfmot.strip(clustered)
        np.testing.assert_allclose(clustered.predict(words), plain.predict(words), atol=1e-5)


def test_a_fit_that_failed_does_not_spoil_the_next(net, images, train):
    with tfmot.prune(net, 0.5)[0] as pruned:
        pruned.compile("adam", "sparse_categorical_crossentropy")
        with pytest.raises(ValueError, match="expected shape") as caught:
            pruned.fit(images[0][:, :4], images[1], verbose=False)
        assert "Traceback" not in str(caught.value)
        assert "in user code" not in str(caught.value)
        with pytest.raises(ValueError, match="`x` must be arrays. Received: None"):
            pruned.fit(None)
        pruned.fit(*images, verbose=False)
        assert np.mean(kernels(tfmot.strip(pruned))["pointwise"] == 0) == 0.5


@pytest.fixture
def ctrl_c():
    """Ctrl-C works: where tests run in the background, it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("ctrl_c")
def test_ctrl_c_ends_a_fit_and_leaves_the_model(net, images):
    with tfmot.prune(net, 0.5, ek.schedules.Constant())[0] as pruned:
        pruned.compile("adam", "sparse_categorical_crossentropy")
        pruned.fit(*images, verbose=False)
        timer = threading.Timer(2, _thread.interrupt_main)
        timer.start()
        with pytest.raises(KeyboardInterrupt):
            pruned.fit(*images, epochs=100_000, verbose=False)
        assert np.mean(kernels(tfmot.strip(pruned))["pointwise"] == 0) == 0.5
        pruned.fit(*images, verbose=False)


def test_layers_of_ones_own_are_named(tk):
    class Own(keras.layers.Dense):
        pass

    model = keras.Sequential([keras.Input((4,)), Own(2, name="own")])
    with pytest.raises(ValueError, match="'own' is of a class .* does not know: Own"):
        tfmot.prune(model, 0.5)


def test_nothing_to_strip_of_a_plain_model(net):
    with pytest.raises(ValueError, match="'old' has no layer of TFMOT: there is nothing to strip"):
        tfmot.strip(net)


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

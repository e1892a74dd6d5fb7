import keras
import numpy as np
import pytest

import edgekit as ek


def test_gives_the_plain_layers_back_by_name_and_order(cnn):
    plain = ek.strip(ek.quantize_aware(cnn))
    assert [(type(a), a.name) for a in plain.layers] == [(type(a), a.name) for a in cnn.layers]
    assert [w.shape for w in plain.weights] == [w.shape for w in cnn.weights]
    for a, b in zip(plain.get_weights(), cnn.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    assert plain.get_layer("classes").activation is keras.activations.softmax


def test_trained_weights_come_along(trained_qat, data):
    plain = ek.strip(trained_qat)
    assert (
        np.abs(plain.predict(data[0], verbose=0) - trained_qat.predict(data[0], verbose=0)).max()
        < 0.05
    )
    wrapped = trained_qat.get_layer("quant_conv").layer.kernel
    np.testing.assert_array_equal(np.asarray(plain.get_layer("conv").kernel), np.asarray(wrapped))


def test_round_trip_through_a_file(trained_qat, tmp_path):
    plain = ek.strip(trained_qat)
    plain.save(tmp_path / "plain.keras")
    code_free = keras.models.load_model(tmp_path / "plain.keras")
    assert "edgekit" not in str(code_free.get_config())


def test_a_plain_model_is_copied(trained):
    copy = ek.strip(trained)
    for a, b in zip(copy.get_weights(), trained.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    copy.get_layer("conv").kernel.assign(np.zeros((3, 3, 3, 8)))
    assert np.abs(np.asarray(trained.get_layer("conv").kernel)).max() > 0


def test_frozen_layers_stay_frozen(cnn):
    cnn.get_layer("conv").trainable = False
    plain = ek.strip(ek.quantize_aware(cnn))
    assert [layer.trainable for layer in plain.layers] == [layer.trainable for layer in cnn.layers]


def test_a_call_with_frozen_statistics_stays_one():
    x = keras.Input((8, 8, 3))
    norm = keras.layers.BatchNormalization()
    y = norm(keras.layers.Conv2D(2, 1)(x), training=False)
    plain = ek.strip(ek.quantize_aware(keras.Model(x, y)))
    (node,) = plain.layers[-1]._inbound_nodes
    assert node.arguments.kwargs["training"] is False


def test_an_add_of_three_comes_back_whole():
    x = keras.Input((4, 4, 2))
    model = keras.Model(x, keras.layers.Add(name="sum")([x, x, keras.layers.Conv2D(2, 1)(x)]))
    plain = ek.strip(ek.quantize_aware(model))
    assert len(plain.get_layer("sum").input) == 3


def test_subclassed_models_are_refused():
    class Net(keras.Model):
        def call(self, x):
            return x

    with pytest.raises(ValueError, match="subclassed"):
        ek.strip(Net())

"""What a file's configuration names, and what is said of it."""

import json

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

tk = pytest.importorskip("tf_keras")
L = tk.layers


def load(path, **options):
    from converters.legacy import load_model

    return load_model(path, **options)


def test_what_tfmot_wrapped_is_to_be_stripped(tmp_path):
    path = tmp_path / "wrapped.h5"
    tk.Sequential([L.Input((4,)), L.Dense(2, name="dense")]).save(path)
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        dense = config["config"]["layers"][1]
        config["config"]["layers"][1] = {
            "class_name": "PruneLowMagnitude",
            "module": "tensorflow_model_optimization.python.core.sparsity.keras.pruning_wrapper",
            "config": {"name": "prune_low_magnitude_dense", "layer": dense},
            "registered_name": "Custom>PruneLowMagnitude",
        }
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ValueError, match=r"\(PruneLowMagnitude\): .* ek\.tfmot\.strip"):
        load(path)


def test_a_loss_inside_is_keras_s_own_and_stays_behind(tmp_path):
    image = tk.Input((4,))
    outputs = L.Dense(2)(image)
    model = tk.Model(image, outputs)
    model.add_loss(tf.reduce_mean(outputs))
    model.save(tmp_path / "loss.h5")
    with pytest.warns(UserWarning, match="the loss or metric .* stays behind"):
        assert load(tmp_path / "loss.h5").losses == []


def test_cells_without_a_public_name_are_keras_s_too(tmp_path):
    model = tk.Sequential([L.Input((3, 6, 6, 2)), L.ConvLSTM2D(2, 3)])
    model.save(tmp_path / "folder", save_format="tf")
    x = np.random.default_rng(0).normal(size=(2, 3, 6, 6, 2)).astype("float32")
    np.testing.assert_allclose(load(tmp_path / "folder")(x), model(x), atol=1e-5)


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_what_it_was_compiled_with_is_not_looked_at(tmp_path, name):
    def my_loss(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))

    model = tk.Sequential([L.Input((4,)), L.Dense(2)])
    model.compile("adam", my_loss)
    model.save(tmp_path / name)
    assert load(tmp_path / name).layers


def test_where_there_is_no_way_none_is_offered(tmp_path):
    image = tk.Input((8, 8, 4), name="image")
    tk.Model(image, tf.nn.depth_to_space(image, 2)).save(tmp_path / "model.h5")
    message = "calls tf.nn.depth_to_space, .* ek.convert takes the tf_keras model"
    for options in ({}, {"allow": ["tf.nn.depth_to_space"]}):
        with pytest.raises(ValueError, match=message) as caught:
            load(tmp_path / "model.h5", **options)
        assert "allow" not in str(caught.value)


@pytest.mark.parametrize(
    "value", [None, 3, (keras.layers.Dense,), (keras.layers.Dense, keras.layers.Dense)]
)
def test_custom_objects_that_no_keras_can_use(tmp_path, value):
    with pytest.raises(ValueError, match=r"`custom_objects` of 'Scale' must be"):
        load(tmp_path / "any.h5", custom_objects={"Scale": value})
    with pytest.raises(ValueError, match="`custom_objects` must be a dict"):
        load(tmp_path / "any.h5", custom_objects=["Scale"])


def test_the_cause_is_told_and_the_way_out(tmp_path):
    path = tmp_path / "model.h5"
    model = tk.Sequential([L.Input((4,)), L.Dense(2, activation="relu")])
    model.save(path)
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = file.attrs["model_config"].replace('"relu"', '"my_relu"')
    with pytest.raises(ValueError, match="my_relu.*`custom_objects`"):
        load(path)


def test_an_activation_of_ones_own_is_named():
    from converters.legacy import migrate

    def my_relu(x):
        return tf.nn.relu(x)

    model = tk.Sequential([L.Input((4,)), L.Dense(2, activation=my_relu, name="dense")])
    with pytest.raises(ValueError, match=r"'dense': .*'my_relu' is not Keras's: pass custom_o"):
        migrate(model)
    found = migrate(model, custom_objects={"my_relu": keras.ops.relu})
    assert found.difference.relative < 1e-6

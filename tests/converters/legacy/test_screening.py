"""What a file's configuration names, and what is said of it."""

import json
import zipfile

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


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_layers_that_were_experimental_are_keras_s_too(tmp_path, name):
    norm = L.experimental.SyncBatchNormalization(moving_mean_initializer="ones")
    tk.Sequential([L.Input((3,)), norm]).save(tmp_path / name)
    x = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    np.testing.assert_allclose(load(tmp_path / name)(x), (x - 1) / np.sqrt(1 + 1e-3), atol=1e-6)


@pytest.mark.parametrize("name", ["model.keras", "model.h5", "folder"])
def test_what_only_training_asks_for_stays_behind(tmp_path, name):
    """Initializers, regularizers and constraints of one's own: the answers are the same without."""
    from converters.legacy import migrate

    class AllOnes(tk.initializers.Initializer):
        def __call__(self, shape, dtype=None, **kwargs):
            return tf.ones(shape)

    class Squares(tk.regularizers.Regularizer):
        def __init__(self, rate=1.0):
            self.rate = rate

        def __call__(self, x):
            return self.rate * tf.reduce_sum(x**2)

        def get_config(self):
            return {"rate": self.rate}

    class Half(tk.constraints.Constraint):
        def __call__(self, w):
            return w / 2

    dense = L.Dense(
        3,
        kernel_initializer=AllOnes(),
        kernel_regularizer=Squares(0.5),
        bias_regularizer=tk.regularizers.L2(0.1),
        kernel_constraint=Half(),
    )
    old = tk.Sequential([L.Input((4,)), dense])
    old.save(tmp_path / name)
    x = np.random.default_rng(0).normal(size=(2, 4)).astype("float32")
    for source in (tmp_path / name, old):
        found = migrate(source)
        np.testing.assert_allclose(found.model(x), np.repeat(x.sum(1)[:, None], 3, 1), rtol=1e-5)
        said = ["the constraint Half stays behind", "the regularizer Squares stays behind"]
        assert sorted(found.notes) == said
        assert found.model.layers[0].bias_regularizer.l2 == pytest.approx(0.1)

    class NewSquares(keras.regularizers.Regularizer):
        __init__, get_config = Squares.__init__, Squares.get_config

    found = migrate(tmp_path / name, {"Squares": (Squares, NewSquares)})
    assert found.model.layers[0].kernel_regularizer.rate == 0.5
    assert found.notes == ["the constraint Half stays behind"]


@pytest.mark.parametrize("name", ["model.keras", "model.h5"])
def test_what_it_was_compiled_with_is_not_looked_at(tmp_path, name):
    def my_loss(y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))

    model = tk.Sequential([L.Input((4,)), L.Dense(2)])
    model.compile("adam", my_loss)
    model.save(tmp_path / name)
    assert load(tmp_path / name).layers


class OwnLoss(tk.losses.Loss):
    def call(self, y_true, y_pred):
        return tf.reduce_mean(tf.square(y_true - y_pred))


class OwnMetric(tk.metrics.MeanSquaredError):
    pass


class OwnOptimizer(tk.optimizers.SGD):
    pass


def test_a_saved_model_s_loss_metrics_and_optimizer_are_not_looked_at(tmp_path):
    model = tk.Sequential([L.Input((4,)), L.Dense(2)])
    model.compile(OwnOptimizer(), OwnLoss(), metrics=[OwnMetric()])
    x = np.ones((4, 4), "float32")
    model.fit(x, np.ones((4, 2)), verbose=0)
    model.save(tmp_path / "folder", save_format="tf")
    np.testing.assert_allclose(load(tmp_path / "folder")(x), model(x), atol=1e-6)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "folder"])
def test_layers_beside_the_applications_are_keras_s_own(tmp_path, name):
    """ConvNeXt's, and one that only has the name of such a one."""
    from tf_keras.src.applications import convnext

    image = tk.Input((6, 6, 4))
    x = L.Dense(4)(image)
    x = convnext.LayerScale(0.5, 4, name="scale")(x)
    if name != "folder":  # which tf_keras cannot save it in
        x = convnext.StochasticDepth(0.2)(x)
    model = tk.Model(image, L.Add()([image, x]))
    model.get_layer("scale").set_weights([np.arange(1.0, 5)])
    model.save(tmp_path / name, save_format={"folder": "tf"}.get(name, name.split(".")[-1]))
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 4)).astype("float32")
    np.testing.assert_allclose(load(tmp_path / name)(x), model(x), atol=1e-6)


class LayerScale(L.Layer):
    """Another of that name."""

    def call(self, x):
        return x


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "folder"])
def test_a_class_of_one_s_own_is_named_once(tmp_path, name):
    row = x = tk.Input((4,))
    for number in range(9):
        x = LayerScale(name=f"scale_{number}")(x)
    model = tk.Model(row, x)
    model.save(tmp_path / name, save_format={"folder": "tf"}.get(name, name.split(".")[-1]))
    message = r"'scale_0' is or uses LayerScale.*, which is not Keras's \(one of 9, the first\)\."
    with pytest.raises(ValueError, match=message) as caught:
        load(tmp_path / name)
    assert "allow=['LayerScale']" in str(caught.value)
    assert "'scale_1'" not in str(caught.value)
    known = {"LayerScale": (LayerScale, keras.layers.Identity)}
    assert len(load(tmp_path / name, custom_objects=known).layers) == 10
    with pytest.raises(ValueError, match=r"LayerScale 'scale_0': .* \(so are 8 others\)$"):
        load_in_memory(model)


def load_in_memory(model):
    from converters.legacy import migrate

    return migrate(model)


def test_code_of_a_class_is_allowed_at_once(tmp_path):
    lambdas = [L.Lambda(lambda x: 2 * x, name=f"twice_{number}") for number in range(3)]
    model = tk.Sequential([L.Input((4,)), *lambdas])
    model.save(tmp_path / "model.h5")
    with pytest.raises(ValueError, match=r"'twice_0' holds .* \(one of 3.*allow=\['Lambda'\]"):
        load(tmp_path / "model.h5")
    x = np.ones((1, 4), "float32")
    np.testing.assert_allclose(load(tmp_path / "model.h5", allow=["Lambda"])(x), 8 * x)


@pytest.mark.parametrize("levels", [300, 200_000])
@pytest.mark.parametrize("brackets", ['{"a":}', "[]"])
def test_a_configuration_nested_without_end_is_a_sentence(tmp_path, levels, brackets):
    start, end = brackets[:-1], brackets[-1]
    config = f'{{"class_name": "Sequential", "config": {start * levels}1{end * levels}}}'
    with zipfile.ZipFile(tmp_path / "deep.keras", "w") as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.5.0"}')
        archive.writestr("config.json", config)
    with pytest.raises(ValueError, match="nested more than 200 levels deep"):
        load(tmp_path / "deep.keras")
    with h5py.File(tmp_path / "deep.h5", "w") as file:
        file.attrs["keras_version"] = "2.10.0"
        file.attrs["model_config"] = config[:65_000]
    message = "nested more than 200|its configuration is damaged"
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "deep.h5")


@pytest.mark.parametrize(
    ("how", "message"),
    [
        (zipfile.ZIP_STORED, "its config.json claims 110,000,000 bytes, and 100,000"),
        (zipfile.ZIP_DEFLATED, "unpacks to 110,000,0.. bytes from .*, more than 200 times"),
    ],
)
def test_a_configuration_without_measure_is_not_unpacked(tmp_path, how, message):
    with zipfile.ZipFile(tmp_path / "large.keras", "w", how) as archive:
        archive.writestr("metadata.json", '{"keras_version": "3.5.0"}')
        with archive.open("config.json", "w") as config:
            for _ in range(11):
                config.write(b" " * 10_000_000)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "large.keras")


def test_where_there_is_no_way_none_is_offered(tmp_path):
    image = tk.Input((8, 8, 4), name="image")
    tk.Model(image, tf.math.bessel_i0(image)).save(tmp_path / "model.h5")
    message = "calls tf.math.bessel_i0, .* ek.convert takes the tf_keras model"
    for options in ({}, {"allow": ["tf.math.bessel_i0"]}):
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

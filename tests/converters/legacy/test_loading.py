"""Files of every Keras, and what is inside of them that must not run."""

import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

tk = pytest.importorskip("tf_keras")
L = tk.layers
DATA = Path(os.environ.get("EDGEKIT_DATA", "no data")) / "mlperf_tiny"


@pytest.fixture(scope="module")
def old():
    image = tk.Input((8, 8, 3), name="image")
    x = L.DepthwiseConv2D(3)(image)
    x = L.BatchNormalization()(x) + 1.0
    x = L.Dense(3, activation="softmax", name="classes")(L.Flatten()(x))
    model = tk.Model(image, x, name="old")
    random = np.random.default_rng(1)
    model.set_weights([random.uniform(0.1, 0.9, w.shape) for w in model.get_weights()])
    return model


def saved(model, path):
    if path.suffix == ".keras":
        model.save(path)
    else:
        model.save(path, save_format="h5" if path.suffix == ".h5" else "tf")
    return path


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "folder"])
def test_files_of_keras_2_answer_as_before(old, tmp_path, name):
    from converters.legacy import load_model

    model = load_model(saved(old, tmp_path / name))
    assert isinstance(model, keras.Model)
    x = np.random.default_rng(0).normal(size=(3, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(model(x), old(x), atol=1e-6)


def test_kinds_go_by_content_not_by_name(old, tmp_path):
    from converters.legacy import load_model

    path = saved(old, tmp_path / "model.h5")
    for name in ("named.keras", "weights.bin"):
        shutil.copy(path, tmp_path / name)
        assert load_model(tmp_path / name).name == "old"
    shutil.copy(saved(old, tmp_path / "model.keras"), tmp_path / "archive.bin")
    assert load_model(tmp_path / "archive.bin").name == "old"


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5")
def test_files_of_keras_3_load_as_they_are(tmp_path, suffix):
    from converters.legacy import migrate

    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
    model.save(tmp_path / f"new{suffix}")
    found = migrate(tmp_path / f"new{suffix}")
    assert found.difference is None
    assert found.source.startswith("Keras 3.")
    np.testing.assert_array_equal(found.model.layers[0].kernel, model.layers[0].kernel)


def test_a_key_that_keras_3_refuses_is_no_hindrance(old, tmp_path):
    """Files of Keras 2 have `groups` in their depthwise convolutions."""
    path = saved(old, tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        for layer in config["config"]["layers"]:
            if layer["class_name"] == "DepthwiseConv2D":
                layer["config"] |= {"groups": 1, "kernel_regularizer": None}
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(TypeError, match="groups"):
        keras.saving.load_model(path, compile=False)
    from converters.legacy import migrate

    assert migrate(path).difference.relative < 1e-6


@pytest.mark.skipif(not DATA.is_dir(), reason="MLPerf Tiny's models are not here")
@pytest.mark.parametrize("name", ["resnet8", "ad01"])
def test_mlperf_tiny_answers_as_its_flatbuffer(name):
    from converters import Flatbuffer
    from converters.legacy import migrate

    model = migrate(DATA / f"{name}.h5").model
    if name == "ad01":
        # The converter that made the reference file left out the biases before BatchNormalization.
        for dense in [x for x in model.layers if type(x).__name__ == "Dense"][:-1]:
            dense.bias.assign(np.zeros(dense.bias.shape))
    reference = Flatbuffer.from_file(DATA / f"{name}_float.tflite")
    shape = (16, *model.inputs[0].shape[1:])
    x = np.random.default_rng(0).uniform(0, 1, shape).astype("float32")
    assert np.abs(np.asarray(model(x)) - reference.predict(x)).max() <= 1e-4


def lambda_model():
    return tk.Sequential([L.Input((4,)), L.Lambda(lambda x: 2 * x, name="twice"), L.Dense(2)])


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "folder"])
def test_code_is_refused_unless_allowed_by_name(tmp_path, name):
    from converters.legacy import load_model

    model = lambda_model()
    path = saved(model, tmp_path / name)
    with pytest.raises(ValueError, match=r"'twice' holds Python code .* allow=\['twice'\]"):
        load_model(path)
    with pytest.raises(ValueError, match=r"`allow` names other.*these do: \['twice'\]"):
        load_model(path, allow=["other"])
    x = np.ones((1, 4), "float32")
    np.testing.assert_allclose(load_model(path, allow=["twice"])(x), model(x), atol=1e-6)


def test_code_of_keras_3_is_refused_in_the_same_way(tmp_path):
    from converters.legacy import load_model

    layer = keras.layers.Lambda(lambda x: 2 * x, name="twice")
    keras.Sequential([keras.Input((4,)), layer]).save(tmp_path / "new.keras")
    with pytest.raises(ValueError, match="'twice' holds Python code"):
        load_model(tmp_path / "new.keras")
    assert load_model(tmp_path / "new.keras", allow=["twice"]).layers


def test_a_function_that_is_not_keras_s_is_refused(tmp_path):
    from converters.legacy import load_model

    path = saved(lambda_model(), tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        inside = config["config"]["layers"][1]["config"]
        inside |= {"function": "get_file", "function_type": "function"}
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ValueError, match="'twice' calls the function 'get_file'"):
        load_model(path)


def test_what_is_no_model_is_said_to_be_none(old, tmp_path):
    from converters.legacy import load_model

    (tmp_path / "text.h5").write_text("hello")
    old.save_weights(tmp_path / "weights.h5")
    (tmp_path / "empty").mkdir()
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)]).export(
        tmp_path / "graph", verbose=False
    )
    half = (saved(old, tmp_path / "model.keras")).read_bytes()
    (tmp_path / "half.keras").write_bytes(half[: len(half) // 2])
    for name, message in {
        "text.h5": "is no Keras model",
        "half.keras": "is no Keras model",
        "weights.h5": "weights alone",
        "empty": "without saved_model.pb",
        "graph": "holds a graph and no Keras model",
    }.items():
        with pytest.raises(ValueError, match=message):
            load_model(tmp_path / name)
    with pytest.raises(FileNotFoundError, match="no such file"):
        load_model(tmp_path / "nowhere.h5")
    with pytest.raises(ValueError, match="`allow` must be a collection"):
        load_model(tmp_path / "model.keras", allow="twice")


def test_without_tf_keras_the_extra_is_named(old, tmp_path):
    saved(old, tmp_path / "old.h5")
    code = f"""
import sys
sys.modules["tf_keras"] = None
from converters.legacy import migrate
try:
    migrate(r"{tmp_path / "old.h5"}")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "pip install 'edgekit-keras[legacy]'" in done.stdout


def rewritten(path, change) -> Path:
    """The archive with its configuration changed, under another name."""
    changed = path.with_name("changed.keras")
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                change(config)
                content = json.dumps(config)
            target.writestr(name, content)
    return changed


CALL = {
    "class_name": "Lambda",
    "module": "keras.layers",
    "config": {
        "name": "bad",
        "function_type": "function",
        "output_shape": None,
        "output_shape_type": "raw",
        "arguments": {"shell": True},
    },
    "inbound_nodes": [],
}
ATTACKS = {
    "a function beside a class": {
        "class_name": "subprocess.call",
        "config": "relu",
        "module": "converters.child",
    },
    "a registered name of another": {
        "class_name": "call",
        "config": "relu",
        "module": "subprocess",
        "registered_name": "hard_sigmoid",
    },
    "Keras's own download": {
        "class_name": "function",
        "config": "get_file",
        "module": "keras.utils",
    },
    "a name": "get_file",
    "bytecode": ["4wAAAA==", None, None],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_ways_around_the_screening_are_closed(tmp_path, attack):
    from converters.legacy import load_model

    path = saved(tk.Sequential([L.Input((4,)), L.Dense(2)]), tmp_path / "model.keras")

    def change(config):
        bad = json.loads(json.dumps(CALL))
        bad["config"]["function"] = ATTACKS[attack]
        config["config"]["layers"].append(bad)

    with pytest.raises(ValueError, match="'bad' (holds Python code|calls the function)"):
        load_model(rewritten(path, change))


@pytest.mark.parametrize(
    ("part", "message"),
    [
        ({"class_name": "fly", "module": "antigravity", "config": {}}, "fly of the module"),
        (
            {
                "class_name": "fly",
                "module": "antigravity",
                "config": {},
                "registered_name": "hard_sigmoid",
            },
            "fly of the module",
        ),
        (
            {"class_name": "Fly", "module": "antigravity", "config": {}, "registered_name": "L2"},
            "Fly of the module",
        ),
        (
            {"class_name": "Dense", "module": "a", "config": {}, "registered_name": "b>Dense"},
            "Dense",
        ),
        ({"class_name": "os.system", "module": "keras", "config": {}}, "names the class"),
        ({"class_name": "function", "config": {"a": 1}}, "calls the function"),
        ({"class_name": "get_file", "module": "keras.utils", "config": {}}, "get_file"),
    ],
)
def test_objects_that_are_not_keras_s_are_refused(tmp_path, part, message):
    from converters.legacy import load_model

    model = tk.Sequential([L.Input((4,)), L.Dense(2, name="dense")])

    def change(config):
        config["config"]["layers"][1]["config"]["kernel_regularizer"] = part

    with pytest.raises(ValueError, match=f"'dense' .*{message}"):
        load_model(rewritten(saved(model, tmp_path / "model.keras"), change))


def test_functions_of_tensorflow_are_not_called_unless_known(tmp_path):
    from converters.legacy import load_model

    image = tk.Input((4,))
    path = saved(tk.Model(image, image + 1.0), tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        text = file.attrs["model_config"].replace("__operators__.add", "io.write_file", 2)
        config = json.loads(text)
        config["config"]["layers"][1]["config"]["function"] = "io.write_file"
        file.attrs["model_config"] = json.dumps(config)
    with pytest.raises(ValueError, match=r"calls tf\.io\.write_file"):
        load_model(path)


def test_a_file_of_two_kinds_is_refused(tmp_path):
    from converters.legacy import load_model

    plain = tk.Sequential([L.Input((4,)), L.Dense(2)])
    both = saved(lambda_model(), tmp_path / "both.h5")
    with both.open("ab") as file:
        file.write(saved(plain, tmp_path / "good.keras").read_bytes())
    with pytest.raises(ValueError, match="at once"):
        load_model(both)


def test_a_graph_that_writes_files_is_refused(tmp_path):
    from converters.legacy import load_model

    path = saved(tk.Sequential([L.Input((4,)), L.Dense(2)]), tmp_path / "folder")
    assert load_model(path).layers
    graph = path / "saved_model.pb"
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    found = SavedModel.FromString(graph.read_bytes())
    found.meta_graphs[0].graph_def.node.add(op="WriteFile", name="bad")
    graph.write_bytes(found.SerializeToString())
    with pytest.raises(ValueError, match="has the ops WriteFile, which touch files"):
        load_model(path)


def test_a_layer_of_ones_own_is_given_in_both_versions(own_layers, tmp_path):
    from converters.legacy import migrate

    old, new = own_layers
    path = saved(tk.Sequential([L.Input((4,)), old(), L.Dense(2)]), tmp_path / "own.h5")
    with pytest.raises(ValueError, match="is or uses Scale, which is not Keras's"):
        migrate(path)
    found = migrate(path, custom_objects={"Scale": own_layers})
    assert found.difference.relative < 1e-6
    assert isinstance(found.model.layers[0], new)


@pytest.mark.parametrize("name", ["model.h5", "model.keras", "folder"])
def test_an_activation_of_ones_own_is_given_by_the_name_in_the_file(tmp_path, name):
    from converters.legacy import migrate

    def gated(x):
        return x * tf.sigmoid(1.7 * x)

    def of_keras_3(x):
        return x * keras.ops.sigmoid(1.7 * x)

    model = tk.Sequential([L.Input((3,)), L.Dense(3, "relu"), L.Dense(3, gated, False)])
    model.layers[1].set_weights([np.eye(3)])
    model.layers[0].set_weights([np.eye(3), np.zeros(3)])
    path = saved(model, tmp_path / name)
    x = np.random.default_rng(0).normal(size=(2, 3)).astype("float32")
    positive = np.maximum(x, 0)
    for function in (gated, of_keras_3):
        found = migrate(path, custom_objects={"gated": function}).model
        np.testing.assert_allclose(
            found(x), positive / (1 + np.exp(-1.7 * positive)), rtol=1e-5, atol=1e-7
        )


def test_kernels_of_theano_are_turned(tmp_path):
    """Its convolutions ran through their kernels backwards."""
    from converters.legacy import migrate

    layers = [L.Conv2D(3, (2, 3)), L.DepthwiseConv2D(2), L.Conv2DTranspose(2, 3), L.ReLU()]
    model = tk.Sequential([L.Input((6, 6, 2)), *layers])
    x = np.random.default_rng(0).normal(size=(2, 6, 6, 2)).astype("float32")
    right = np.asarray(model(x))
    for layer in (layers[0], layers[2]):
        layer.kernel.assign(np.asarray(layer.kernel)[::-1, ::-1])
    path = saved(model, tmp_path / "old.h5")
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"], file.attrs["backend"] = "2.0.8", b"theano"
    np.testing.assert_allclose(migrate(path).model(x), right, atol=1e-6)


def test_what_went_without_saying_before_keras_2_3(tmp_path):
    """A GRU of then applies its reset gate before the product, and does not say so."""
    from converters.legacy import migrate

    model = tk.Sequential([L.Input((6, 4)), L.GRU(3, reset_after=False)])
    path = saved(model, tmp_path / "old.h5")
    with h5py.File(path, "a") as file:
        config = json.loads(file.attrs["model_config"])
        del config["config"]["layers"][1]["config"]["reset_after"]
        file.attrs["model_config"] = json.dumps(config)
        file.attrs["keras_version"] = "2.2.4"
    before = path.read_bytes()
    found = migrate(path)
    assert found.model.layers[0].reset_after is False
    assert path.read_bytes() == before
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "1.2.2"
    with pytest.raises(ValueError, match=r"written by Keras 1\.2\.2"):
        migrate(path)


def test_damaged_headers_are_said_to_be(tmp_path):
    from converters.legacy import load_model

    path = saved(tk.Sequential([L.Input((4,)), L.Dense(2)]), tmp_path / "model.h5")
    with h5py.File(path, "a") as file:
        file.attrs["keras_version"] = "abc"
    assert load_model(path).layers  # read as an old one
    with h5py.File(path, "a") as file:
        file.attrs["model_config"] = "[1, 2]"
    with pytest.raises(ValueError, match="its configuration is damaged"):
        load_model(path)
    with zipfile.ZipFile(tmp_path / "odd.keras", "w") as archive:
        archive.writestr("metadata.json", "[]")
        archive.writestr("config.json", "{}")
    with pytest.raises(ValueError, match="no whole .keras archive"):
        load_model(tmp_path / "odd.keras")

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

    found = migrate(DATA / f"{name}.h5")
    reference = Flatbuffer.from_file(DATA / f"{name}_float.tflite")
    shape = (16, *found.model.inputs[0].shape[1:])
    x = np.random.default_rng(0).uniform(0, 1, shape).astype("float32")
    theirs = next(iter(reference.predict(x).values()))
    assert np.abs(np.asarray(found.model(x)) - theirs).max() <= 1e-4


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


def test_a_module_that_loading_would_import_is_refused(tmp_path):
    from converters.legacy import load_model

    path = saved(tk.Sequential([L.Input((4,)), L.Dense(2, name="bad")]), tmp_path / "model.keras")
    evil = {"module": "antigravity", "class_name": "fly", "config": {}, "registered_name": "fly"}
    changed = tmp_path / "changed.keras"
    with zipfile.ZipFile(path) as source, zipfile.ZipFile(changed, "w") as target:
        for name in source.namelist():
            content = source.read(name)
            if name == "config.json":
                config = json.loads(content)
                config["config"]["layers"][1]["config"]["kernel_regularizer"] = evil
                content = json.dumps(config)
            target.writestr(name, content)
    with pytest.raises(ValueError, match="'bad' is or uses fly of the module 'antigravity'"):
        load_model(changed)


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


def test_without_tf_keras_a_file_that_keras_3_reads_is_not_compared(old, tmp_path):
    plain = tk.Sequential([L.Input((4,)), L.Dense(2)])
    saved(plain, tmp_path / "plain.h5")
    saved(old, tmp_path / "old.h5")
    code = f"""
import sys
sys.modules["tf_keras"] = None
from converters.legacy import migrate
print(migrate(r"{tmp_path / "plain.h5"}").notes)
try:
    migrate(r"{tmp_path / "old.h5"}")
except ImportError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.strip().splitlines()[-2:]
    assert "outputs were not compared" in first
    assert all("edgekit-keras[legacy]" in text for text in (first, second))

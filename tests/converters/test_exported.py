"""SavedModels with a graph alone, as Keras 3 exports them, of one signature and of several."""

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek

RNG = np.random.default_rng(0)


def decibel(right, values) -> float:
    right = np.asarray(right)
    noise = max(np.mean((right - values) ** 2), 1e-20)
    return float(10 * np.log10(np.mean(right**2) / noise))


@pytest.fixture(scope="module")
def parts():
    keras.utils.set_random_seed(0)
    encoder = keras.Sequential(
        [
            keras.Input((8, 8, 3)),
            layers.Conv2D(8, 3),
            layers.Flatten(),
            layers.Dense(16, activation="relu"),
        ]
    )
    return encoder, keras.Sequential([keras.Input((16,)), layers.Dense(4)])


@pytest.fixture(scope="module")
def exported(parts, tmp_path_factory):
    """Two endpoints of open batch."""
    encoder, head = parts
    folder = tmp_path_factory.mktemp("exported") / "two"
    archive = keras.export.ExportArchive()
    archive.track(encoder)
    archive.track(head)
    image = tf.TensorSpec((None, 8, 8, 3), name="image")
    archive.add_endpoint("encode", lambda image: {"code": encoder(image)}, [image])
    code = tf.TensorSpec((None, 16), name="code")
    archive.add_endpoint("head", lambda code: {"y": head(code)}, [code])
    archive.write_out(folder, verbose=False)
    return folder


def test_every_endpoint_becomes_a_signature_in_integers(parts, exported):
    encoder, head = parts
    images = RNG.normal(size=(64, 8, 8, 3)).astype("float32")
    codes = np.asarray(encoder(images))
    files = ek.convert(exported, ["float32", "int8"], calibration={"encode": images, "head": codes})
    assert set(files["int8"].signatures) == {"serving_default", "encode", "head"}  # Keras adds one
    assert any("'serving_default' was cal" in note for note in files["int8"].check.notes)
    report = ek.inspect(files["int8"])
    assert report.op_dtypes.keys() == {"int8"}
    assert not {"SHAPE", "PACK", "STRIDED_SLICE"} & {op.name for op in report.ops}
    for key, x, right in (("encode", images, codes), ("head", codes, head(codes))):
        assert decibel(right, files["float32"].predict(x, signature=key)) > 90
        assert decibel(right, files["int8"].predict(x, signature=key)) > 28


def test_an_exported_model(parts, tmp_path):
    _, head = parts
    head.export(tmp_path / "graph", verbose=False)
    codes = RNG.normal(size=(32, 16)).astype("float32")
    file = ek.convert(tmp_path / "graph", "int8", calibration=codes)["int8"]
    assert decibel(head(codes), file.predict(codes)) > 30


def test_open_sizes_are_named(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((None, None), name="x")
    module.f = tf.function(lambda x: {"y": x + 1.0}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "open"), signatures={"f": module.f})
    with pytest.raises(ValueError, match=r"input 'x' of signature 'f' has shape \(None, None\)"):
        ek.convert(tmp_path / "open")


def test_a_graph_without_signatures_says_how_to_save_one(tmp_path):
    module = tf.Module()
    module.v = tf.Variable(1.0)
    tf.saved_model.save(module, str(tmp_path / "none"))
    with pytest.raises(ValueError, match="it has no signatures, which say what can be called"):
        ek.convert(tmp_path / "none")


def test_a_graph_that_touches_files_is_refused(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec((), tf.string, name="x")
    module.f = tf.function(lambda x: {"y": tf.io.read_file(x)}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "reads"), signatures={"f": module.f})
    with pytest.raises(ValueError, match="its graph has the ops ReadFile, which touch files"):
        ek.convert(tmp_path / "reads")

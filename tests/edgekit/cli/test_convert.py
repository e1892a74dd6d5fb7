"""`edgekit convert` of a file with several signatures."""

import json
import re

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from converters import inspect
from edgekit.cli import main
from tests.converters.lite_files import signatures_file

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(8, 8)).astype("float32") / 3


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Two signatures that take inputs of other names, and samples of both."""
    folder = tmp_path_factory.mktemp("two")
    signatures_file(
        folder / "saved",
        encode=(lambda x: {"z": tf.nn.relu(x @ KERNEL)}, [tf.TensorSpec([1, 8], name="x")]),
        head=(lambda w: {"y": w @ KERNEL}, [tf.TensorSpec([1, 8], name="w")]),
    ).save(folder / "two.tflite")
    x, w = (RNG.normal(size=(32, 8)).astype("float32") for _ in range(2))
    np.save(folder / "x.npy", x)
    np.save(folder / "w.npy", w)
    np.savez(folder / "both.npz", x=x, w=w)
    return folder


def run(place, *options):
    words = ["convert", place / "two.tflite", "--format", "int8", *options]
    return CliRunner().invoke(main, [str(word) for word in words])


@pytest.mark.parametrize(
    "options",
    [
        ["--calibration-for", "encode", "x.npy", "--calibration-for", "head", "w.npy"],
        ["--calibration", "both.npz"],
    ],
)
def test_every_signature_has_its_samples(place, tmp_path, options):
    options = [place / word if "." in word else word for word in options]
    found = run(place, *options, "--out", tmp_path, "--json")
    assert found.exit_code == 0, found.output
    (row,) = json.loads(found.stdout)
    assert row["float_islands"] == []
    assert row["decibel_of_others"].keys() == {"head"}
    assert 25 < row["decibel"] <= row["decibel_of_others"]["head"]


def test_a_signature_may_stay_float32(place, tmp_path):
    options = ["--calibration-for", "encode", place / "x.npy", "--keep-float", "head"]
    found = run(place, *options, "--out", tmp_path)
    assert found.exit_code == 0, found.output
    assert "signature 'head' stayed float32" in found.output
    (path,) = tmp_path.iterdir()
    assert [op.name for op in inspect(path).float_islands] == ["FULLY_CONNECTED"]


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (
            ["--calibration", "x.npy"],
            "no samples for signature 'head' of .*two.tflite: give every signature its own, "
            "--calibration-for head PATH, or leave it in float32, --keep-float head",
        ),
        (["--calibration-for", "encode", "x.npy"], "no samples for signature 'head'"),
        (
            ["--calibration-for", "hed", "x.npy"],
            "hed: no such signature in .* has 'encode', 'head'",
        ),
        (["--keep-float", "head", "--keep-float", "encode"], "every signature in float32"),
        (["--keep-float", "head", "--keep-float", "head"], "'head' is given twice"),
        (
            ["--calibration", "x.npy", "--keep-float", "head"],
            "--calibration cannot be combined with --keep-float",
        ),
        (["--calibration-for", "encode", "none.npy"], "--calibration-for: no such file"),
        (["--calibration-for", "encode", "two.tflite"], "--calibration-for .* not a readable .npy"),
    ],
)
def test_bad_input_is_one_sentence_in_the_words_of_the_options(
    place, tmp_path, monkeypatch, options, sentence
):
    monkeypatch.chdir(place)
    found = run(place, *options, "--out", tmp_path / "new")
    assert found.exit_code == 2
    assert re.search(sentence, found.stderr)
    assert not (tmp_path / "new").exists()


def test_a_keras_model_has_no_signatures(place, tmp_path):
    (tmp_path / "model.keras").write_bytes(b"not read")
    words = ["convert", tmp_path / "model.keras", "--format", "int8"]
    words += ["--calibration-for", "encode", place / "x.npy"]
    found = CliRunner().invoke(main, [str(word) for word in words])
    assert found.exit_code == 2
    assert "with several signatures: a Keras model takes --calibration" in found.stderr


def test_a_saved_model_has_its_signatures_too(place, tmp_path):
    words = ["convert", place / "saved", "--format", "int8", "--out", tmp_path]
    words += ["--calibration-for", "encode", place / "x.npy"]
    found = CliRunner().invoke(main, list(map(str, words)))
    assert found.exit_code == 2
    assert "no samples for signature 'head' of" in found.stderr
    words += ["--calibration-for", "head", place / "w.npy"]
    found = CliRunner().invoke(main, list(map(str, words)))
    assert found.exit_code == 0, found.output
    assert inspect(tmp_path / "saved_int8.tflite").float_islands == []

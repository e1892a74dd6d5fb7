"""One signature as a file of its own, and what runs nothing else."""

import json

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

import edgekit as ek
from converters import Flatbuffer, package
from converters.reader import read_model
from edgekit.cli import main
from tests.converters.lite_files import signatures_file

RNG = np.random.default_rng(0)
KERNEL = RNG.normal(size=(16, 16)).astype("float32") / 4
X = RNG.normal(size=(32, 16)).astype("float32")


def loop(x):
    y, i = x, tf.constant(0)
    while i < 3:
        y, i = tf.nn.relu(y @ KERNEL), i + 1
    return {"y": y}


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    """`double` and `loop`, which calls two subgraphs, and `net`; the first one is the default."""
    spec = [tf.TensorSpec([1, 16], name="x")]
    return signatures_file(
        tmp_path_factory.mktemp("several"),
        double=(lambda x: {"y": x + x}, spec),
        loop=(loop, spec),
        net=(lambda x: {"y": tf.nn.softmax(x @ KERNEL)}, spec),
    )


@pytest.fixture(scope="module")
def small(several):
    return ek.convert(several, "int8", calibration=X)["int8"]


def test_each_computes_the_same_alone(several):
    for key in several.signatures:
        alone = several.only(key)
        assert alone.signatures == [key]
        assert read_model(alone.content).subgraph == 0
        np.testing.assert_array_equal(alone.predict(X), several.predict(X, signature=key))
    assert read_model(several.only("net").content).subgraphs == 1
    assert read_model(several.only("loop").content).subgraphs == 3
    assert several.only("double").size < several.size / 2
    assert several.only().signatures == ["double"]


def test_a_file_of_one_signature_is_left_as_it_is(several):
    alone = several.only("net")
    assert alone.only("net") is alone
    assert alone.only() is alone


def test_what_it_was_compared_with_goes_with_it(small):
    assert small.only("net").check == small.check.signatures["net"]
    assert small.only().check.decibel == small.check.decibel
    assert small.only().check.signatures == {}


def test_an_unknown_signature_lists_those_there_are(several, tmp_path):
    for call in (
        lambda: several.only("no"),
        lambda: ek.profile(several, signature="no"),
        lambda: ek.estimate(several, signature="no"),
        lambda: package(several, "android", tmp_path / "app", signature="no"),
    ):
        with pytest.raises(ValueError, match=r"`signature` must be one of 'double', 'loop', 'net'"):
            call()


def test_a_profile_is_of_the_signature(small):
    rows = ek.profile(small, kernels="builtin", signature="net").rows
    assert [row.name for row in rows] == ["FULLY_CONNECTED", "SOFTMAX"]
    assert {row.dtype for row in rows} == {"int8"}
    assert [row.name for row in ek.profile(small, kernels="builtin").rows] == ["ADD"]


def test_an_estimate_is_of_the_signature(small):
    assert ek.estimate(small, "cortex-m4", "net").macs == 256
    assert ek.estimate(small, "cortex-m4").macs == 0


def test_a_package_runs_the_signature_it_is_made_for(small, tmp_path):
    package(small, "mcu", tmp_path, signature="net", sample=X[:1])
    contract = json.loads((tmp_path / "contract.json").read_text())
    assert contract["model"]["signature"] == "net"
    assert {op["name"] for op in contract["ops"]} == {"FULLY_CONNECTED", "SOFTMAX"}


def test_a_package_runs_the_default_signature_wherever_it_is(tmp_path):
    """Runtimes that are not told of signatures run the first, with other numbers here."""
    spec = [tf.TensorSpec([1, 16], name="x")]
    file = signatures_file(
        tmp_path / "saved",
        a=(lambda x: {"y": x + x}, spec),
        serving_default=(lambda x: {"y": tf.nn.softmax(x @ KERNEL)}, spec),
    )
    package(file, "android", tmp_path / "app", name="net")
    packed = Flatbuffer.from_file(tmp_path / "app" / "net.tflite")
    assert packed.signatures == ["serving_default"]
    np.testing.assert_array_equal(packed.predict(X), file.predict(X))


def test_microcontrollers_run_the_signature(small):
    (measured,) = ek.benchmark({"f": small}, device="mcu", signature="net").measurements
    assert measured.error is None
    assert measured.macs == 256


def test_on_the_command_line(small, tmp_path):
    path, app = small.save(tmp_path / "small.tflite"), tmp_path / "app"
    for words, said in (
        (["bench", path, "--profile", "--kernels", "builtin", "--signature", "net"], "SOFTMAX"),
        (["bench", path, "--estimate", "cortex-m4", "--signature", "net"], "SOFTMAX"),
        (["package", path, "--target", "android", "--signature", "net", "-o", app], "app/small"),
    ):
        found = CliRunner().invoke(main, list(map(str, words)))
        assert found.exit_code == 0, found.output
        assert said in found.output

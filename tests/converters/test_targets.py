import json
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import edgekit as ek
from benchmarks.op_support.op_files import OneOp, Operand, one_op_file
from benchmarks.op_support.specs import one_op
from converters import Flatbuffer
from converters.model_info import OpInfo
from converters.packaging.arena import run_micro
from converters.reader import read_model
from converters.targets import TARGETS, describe_target, unsupported
from tests.converters.lite_files import lite_file

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def kinds(trained, data):
    x, _ = data
    image = keras.Input((8, 8, 16), name="image")
    y = layers.Conv2D(64, 3)(image)
    wide = keras.Model(image, layers.Dense(4)(layers.GlobalAveragePooling2D()(y)))
    found = ek.convert(wide, ["float32", "float16", "dynamic"])
    small = ek.convert(trained, ["int8", "int16x8"], calibration=x)
    return {name: ek.inspect(file) for name, file in {**found, **small}.items()}


@pytest.fixture(scope="module")
def micro_files(data):
    """Files whose ops have kernels in tflite-micro, and some that have not."""
    image = keras.Input((8, 8, 3), name="image")
    x = layers.Conv2D(16, 3, activation="relu")(image)
    x = layers.Conv2D(64, 3, activation="silu")(x)
    model = keras.Model(image, layers.Dense(64)(layers.GlobalAveragePooling2D()(x)))
    x, _ = data
    return ek.convert(
        model, ["float32", "float16", "dynamic", "int8", "int16x8", "int4"], calibration=x
    )


@pytest.mark.parametrize("kind", ["float32", "float16", "dynamic", "int8", "int16x8", "int4"])
def test_the_table_says_what_tflite_micro_does(micro_files, kind):
    """The real interpreter takes the file exactly where no op is unsupported."""
    pytest.importorskip("tflite_micro")
    file = micro_files[kind]
    edge = ek.inspect(file).inputs[0]
    refused = ek.inspect(file).unsupported("tflite-micro")
    assert bool(refused) == (kind in ("float16", "dynamic", "int4"))
    with pytest.raises(ValueError) if refused else nullcontext():
        run_micro(file.content, [np.zeros(edge.shape, edge.dtype)], 1)


@pytest.mark.parametrize(
    ("kind", "target", "ops"),
    [
        ("int8", "litert", set()),
        ("int8", "tflite-micro", set()),
        ("int8", "ethos-u", set()),
        ("int8", "edgetpu", set()),
        ("int16x8", "tflite-micro", set()),
        ("int16x8", "ethos-u", set()),
        ("float32", "tflite-micro", set()),
        ("float32", "litert-gpu", set()),
        ("float32", "ethos-u", {"CONV_2D", "MEAN", "FULLY_CONNECTED"}),
        ("float16", "tflite-micro", {"DEQUANTIZE"}),
        ("dynamic", "tflite-micro", {"CONV_2D"}),
    ],
)
def test_what_runs_where(kinds, kind, target, ops):
    found = kinds[kind].unsupported(target)
    assert {u.op for u in found} == ops
    assert all(u.reason for u in found)


def test_16_bits_are_too_many_for_some(kinds):
    assert len(kinds["int16x8"].unsupported("edgetpu")) == len(kinds["int16x8"].ops)
    assert "int16" in kinds["int16x8"].unsupported("litert-gpu")[0].reason


def test_in_words(kinds):
    assert describe_target("edgetpu", []) == "all ops run on edgetpu"
    said = describe_target("tflite-micro", kinds["dynamic"].unsupported("tflite-micro"))
    assert said.startswith("not on tflite-micro: 1 CONV_2D (int8 weights with float activations")


def test_an_unknown_target(kinds):
    with pytest.raises(ValueError, match=r"`target` must be one of litert, .* Received: .*'tpu'"):
        kinds["int8"].unsupported("tpu")


def test_ops_are_ops():
    from converters.flatbuffer_tables import builtin_names

    for target in TARGETS.values():
        assert target.ops <= builtin_names()


@pytest.mark.parametrize("target", ["tflite-micro", "litert"])
def test_verdicts_hold_op_by_op_and_dtype_by_dtype(target):
    """A sample of small files, each run for real; all of them in `benchmarks/op_support`."""
    if target == "tflite-micro":
        pytest.importorskip("tflite_micro")
    command = [sys.executable, "-m", "benchmarks.op_support.check", "80", "--target", target]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[-1]) == []


def verdict(op: OneOp, target: str) -> str:
    report = ek.inspect(Flatbuffer(one_op_file(op)))
    return next((found.reason for found in report.unsupported(target)), "runs")


@pytest.mark.parametrize(
    ("name", "dtype", "target", "said"),
    [
        ("CONV_2D", "uint8", "tflite-micro", "uint8: its kernel takes float32"),
        ("CAST", "uint8", "tflite-micro", "uint8 to uint8: its kernel knows no such"),
        ("TRANSPOSE", "int32", "tflite-micro", "int32: its kernel takes float32"),
        ("ADD", "int64", "tflite-micro", "int64: its kernel takes"),
        ("ADD", "int32", "tflite-micro", "runs"),
        ("RESHAPE", "bool", "tflite-micro", "runs"),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "float32×int8", "tflite-micro", "int8 weights with float"),
        ("ADD", "int32", "edgetpu", "int32: only int8 and uint8 run there"),
        ("RESHAPE", "string", "edgetpu", "string: only int8 and uint8 run there"),
        ("GATHER", "string", "litert", "runs"),
        ("RESHAPE", "bool", "ethos-u", "bool: its kernel takes"),
        ("RESHAPE", "bool", "litert-gpu", "bool: only floats and 8 bits run there"),
        ("GREATER", "float32", "litert-gpu", "runs"),
        ("CONV_2D", "uint8", "litert-gpu", "runs"),
        ("LOGICAL_NOT", "bool", "litert-gpu", "litert-gpu has no such op"),
    ],
)
def test_dtypes_count(name, dtype, target, said):
    assert verdict(one_op(name, dtype), target).startswith(said)


@pytest.mark.parametrize("name", ["STABLEHLO_EXPONENTIAL", "STABLEHLO_CONVOLUTION", "CALL"])
def test_builtins_that_litert_lacks(name):
    edges = [Operand((1, 4), "float32")]
    options = {"subgraph": 1} if name == "CALL" else {}
    content = one_op_file(OneOp(name, edges, edges, options))
    ops = read_model(content).ops if name != "CALL" else (OpInfo(0, "CALL", (), ()),)
    assert unsupported(ops, "litert")[0].reason == "litert has no such op"


@pytest.mark.parametrize(
    ("name", "runs_on"),
    [
        ("TFLite_Detection_PostProcess", {"litert", "tflite-micro"}),
        ("ethos-u", {"tflite-micro", "ethos-u"}),
        ("edgetpu-custom-op", {"edgetpu"}),
        ("SignalRfft", {"tflite-micro"}),
        ("Convolution2DTransposeBias", {"litert", "litert-gpu"}),
        ("MyOwn", set()),
    ],
)
def test_custom_ops_that_targets_know(name, runs_on):
    edges = [Operand((1, 4), "float32")]
    op = OneOp(name, edges, edges, custom=True)
    assert {target for target in TARGETS if verdict(op, target) == "runs"} == runs_on


def test_sizes_that_are_not_fixed():
    spec = tf.TensorSpec([None, 4], name="a")
    batch = ek.inspect(lite_file(tf.nn.relu, spec))
    sides = ek.inspect(lite_file(tf.nn.relu, tf.TensorSpec([1, None, 4], name="a")))
    for target in ("tflite-micro", "ethos-u", "edgetpu", "litert-gpu"):
        reasons = [found.reason for found in sides.unsupported(target)]
        assert "a shape that is not fixed" in reasons or target in ("ethos-u", "edgetpu")
        assert "a shape that is not fixed" not in [f.reason for f in batch.unsupported(target)]
    assert batch.unsupported("tflite-micro") == []
    assert sides.unsupported("litert") == []

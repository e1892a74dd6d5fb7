from contextlib import nullcontext

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters.packaging.arena import run_micro
from converters.targets import TARGETS, describe_target


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
        assert (target.ops or frozenset()) <= builtin_names()

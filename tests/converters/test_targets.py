import keras
import pytest
from keras import layers

import edgekit as ek
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
    from converters.reader import builtin_names

    for target in TARGETS.values():
        assert (target.ops or frozenset()) <= builtin_names()

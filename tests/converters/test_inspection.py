import json

import keras
import numpy as np
import pytest

import edgekit as ek
from benchmarks.op_support.op_files import one_op_file
from benchmarks.op_support.specs import one_op
from converters import Flatbuffer


def test_int8_file(files):
    report = ek.inspect(files["qat"])
    assert [op.name for op in report.ops] == [
        "CONV_2D", "DEPTHWISE_CONV_2D", "CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "SOFTMAX",
    ]  # fmt: skip
    assert report.op_dtypes == {"int8": 7}
    assert report.float_islands == []
    (image,), (classes,) = report.inputs, report.outputs
    assert (image.name, image.shape, image.dtype) == ("image", (1, 8, 8, 3), "int8")
    assert image.scale == pytest.approx(1 / 255, rel=0.05)
    assert -128 <= image.zero_point <= -120
    assert (classes.name, classes.scale, classes.zero_point) == ("output_0", 1 / 256, -128)


def test_macs_are_those_of_the_layers(files):
    by_hand = {
        "conv": 8 * 8 * 8 * 3 * 3 * 3,
        "depthwise": 8 * 8 * 8 * 3 * 3,
        "pointwise": 8 * 8 * 8 * 8,
        "classes": 8 * 4,
    }
    for file in files.values():
        assert ek.inspect(file).macs == sum(by_hand.values())


def test_weights_are_those_of_the_model(files, trained):
    weights = ek.inspect(files["float32"]).weights
    kernels = {
        name: np.asarray(trained.get_layer(name).kernel) for name in ("pointwise", "classes")
    }
    assert sorted(w.elements for w in weights) == sorted([8 * 27, 8 * 9, 64, 32])
    pointwise = next(w for w in weights if w.shape == (8, 1, 1, 8))
    assert pointwise.distinct == len(np.unique(kernels["pointwise"]))
    assert pointwise.sparsity == 0
    assert pointwise.bytes == 64 * 4


@pytest.mark.parametrize("name", ["float32", "float16", "int8"])
def test_sparsity_in_the_file(trained, data, name):
    pruned = ek.strip(trained)
    for layer in ("conv", "pointwise"):
        kernel = pruned.get_layer(layer).kernel
        values = np.asarray(kernel).copy()
        values.ravel()[: round(0.75 * values.size)] = 0
        kernel.assign(values)
    report = ek.inspect(ek.convert(pruned, [name], calibration=data[0])[name])
    zeros = round(0.75 * 216) + round(0.75 * 64)
    assert sum(w.zeros for w in report.weights) >= zeros
    assert report.sparsity == pytest.approx(zeros / (216 + 72 + 64 + 32), abs=0.02)


def test_float_islands_and_hybrid_ops_are_named(trained, data):
    mixed = ek.quantize_aware(trained, layers=["^conv", "pool", "classes", "dropout"])
    mixed(data[0], training=True)
    with pytest.warns(UserWarning, match="int8: these ops stayed float: DEPTHWISE_CONV_2D"):
        file = ek.convert(mixed, ["int8"])["int8"]
    report = ek.inspect(file)
    assert {op.name for op in report.float_islands} >= {"DEPTHWISE_CONV_2D", "ADD"}
    assert report.op_dtypes["int8"] >= 3


def test_float_edges_are_no_islands(trained_qat):
    report = ek.inspect(ek.convert(trained_qat, ["int8"], edges="float32")["int8"])
    assert (report.inputs[0].dtype, report.outputs[0].dtype) == ("float32", "float32")
    assert report.inputs[0].scale is None
    assert report.float_islands == []


def test_report_as_json(files):
    report = ek.inspect(files["int8"])
    found = json.loads(report.to_json())
    assert found["bytes"] == files["int8"].size
    assert found["ops"][0]["dtype"] == "int8"
    assert found["weights"][0]["sparsity"] == report.weights[0].sparsity


def test_reads_a_path_and_names_it_in_errors(folder):
    assert ek.inspect(folder / "int8.tflite").inputs[0].name == "image"
    with pytest.raises(ValueError, match="corrupt.tflite: damaged"):
        ek.inspect(folder / "corrupt.tflite")
    with pytest.raises(FileNotFoundError):
        ek.inspect(folder / "none.tflite")


def test_damage_is_an_error_or_an_answer_and_never_a_hang(files):
    content = files["int8"].content
    rng = np.random.default_rng(0)
    refused = 0
    for _ in range(300):
        damaged = bytearray(content[: rng.integers(8, len(content) + 1)])
        for position in rng.integers(8, len(damaged) + 1, 3):
            if position < len(damaged):
                damaged[position] = rng.integers(256)
        try:
            ek.inspect(Flatbuffer(bytes(damaged))).to_json()
        except ValueError:  # any other kind of error fails the test
            refused += 1
    assert refused > 100


def test_what_a_loop_computes_counts():
    model = keras.Sequential([keras.Input((5, 3)), keras.layers.GRU(4)])
    file = ek.convert(model, ["float32"])["float32"]
    report = ek.inspect(file)
    (loop,) = [op for op in report.ops if op.name == "WHILE"]
    inside = [op for op in report.ops if op.subgraph]
    assert loop.index < min(op.index for op in inside)
    assert [op.index for op in report.ops] == list(range(len(report.ops)))
    assert report.macs == 5 * (3 * 12 + 4 * 12)
    assert report.notes == []
    assert {op.times for op in inside if op.macs} == {5}
    assert report.op_dtypes["float32"] == sum(
        op.dtype == "float32" and op.name != "WHILE" for op in report.ops
    )


def test_arithmetic_on_indices_is_no_integer_computing():
    ids = keras.Input((6,), dtype="int32")
    x = keras.layers.GlobalAveragePooling1D()(keras.layers.Embedding(10, 8)(ids))
    report = ek.inspect(ek.convert(keras.Model(ids, keras.layers.Dense(3)(x)))["float32"])
    assert report.float_islands == []
    assert report.hybrid_ops == []
    assert {op.dtype for op in report.ops if op.macs} == {"float32"}


@pytest.mark.parametrize(
    ("name", "dtype", "said", "quantized"),
    [
        ("TRANSPOSE_CONV", "float32", "float32", False),
        ("TRANSPOSE_CONV", "int8", "int8", True),
        ("TRANSPOSE_CONV", "float32×int8", "float32×int8", False),
        ("EMBEDDING_LOOKUP", "float32", "float32", False),
        ("EMBEDDING_LOOKUP", "float32×int8", "float32×int8", False),
        ("EMBEDDING_LOOKUP", "int8", "int8", True),
        ("GATHER", "float32", "float32", False),
        ("SPLIT", "float32", "float32", False),
        ("FILL", "float32", "float32", False),
        ("SELECT_V2", "int8", "int8", True),
        ("ARG_MAX", "int8", "int8", True),
        ("SHAPE", "float32", "int32", False),
        ("ADD", "int32", "int32", False),
        ("BATCH_MATMUL", "float32×int8", "float32×int8", False),
        ("SVDF", "float32×int8", "float32×int8", False),
        ("UNIDIRECTIONAL_SEQUENCE_LSTM", "float32×int8", "float32×int8", False),
        ("FULLY_CONNECTED", "int16", "int16", True),
    ],
)
def test_the_dtype_a_kernel_computes_in(name, dtype, said, quantized):
    (op,) = ek.inspect(Flatbuffer(one_op_file(one_op(name, dtype)))).ops
    assert (op.dtype, op.quantized) == (said, quantized)


def test_hybrid_kernels_are_said(trained):
    x = keras.Input((64,))
    file = ek.convert(keras.Model(x, keras.layers.Dense(32)(x)), ["dynamic"])["dynamic"]
    report = ek.inspect(file)
    assert [op.name for op in report.hybrid_ops] == ["FULLY_CONNECTED"]
    assert "dynamic range: 1 op takes float data with integer weights" in report.summary()

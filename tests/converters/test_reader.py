"""Files with several signatures, open sizes, loops and blocks, made by TensorFlow and by hand."""

import numpy as np
import pytest
import tensorflow as tf
from ai_edge_litert.interpreter import Interpreter

import edgekit as ek
from benchmarks.op_support.op_files import OneOp, Operand, one_op_file
from converters import Flatbuffer
from converters.reader import UnknownSignature, read_model, read_models
from tests.converters.lite_files import lite_file, signatures_file

RNG = np.random.default_rng(0)
WEIGHTS = RNG.normal(size=(16, 16)).astype("float32")


@pytest.fixture(scope="module")
def two_signatures(tmp_path_factory):
    """`encode`, of the first subgraph, and `head`, of the second."""
    return signatures_file(
        tmp_path_factory.mktemp("signatures"),
        encode=(lambda x: {"z": tf.nn.relu(x @ WEIGHTS)}, [tf.TensorSpec([1, 16], name="x")]),
        head=(lambda z: {"y": z @ WEIGHTS[:, :4]}, [tf.TensorSpec([1, 16], name="z")]),
    )


def test_every_signature_with_its_subgraph(two_signatures):
    encode, head = read_models(two_signatures.content)
    assert (encode.signature.key, encode.subgraph) == ("encode", 0)
    assert (head.signature.key, head.subgraph) == ("head", 1)
    assert list(encode.outputs) == ["z"]
    assert list(head.inputs) == ["z"]
    assert head.outputs["y"].shape == (1, 4)
    assert {tensor.subgraph for tensor in head.tensors} == {1}
    assert two_signatures.signatures == ["encode", "head"]
    assert "min_runtime_version" in encode.metadata


def test_a_signature_runs_as_litert_runs_it(two_signatures):
    x = RNG.normal(size=(3, 16)).astype("float32")
    interpreter = Interpreter(model_content=two_signatures.content)
    for key, name, output in (("encode", "x", "z"), ("head", "z", "y")):
        runner = interpreter.get_signature_runner(key)
        by_hand = np.concatenate([runner(**{name: row[None]})[output] for row in x])
        np.testing.assert_array_equal(two_signatures.predict(x, signature=key), by_hand)
        tensors = two_signatures.tensors(x, signature=key)
        assert any(
            t.values.shape == by_hand.shape and np.allclose(t.values, by_hand, atol=1e-5)
            for t in tensors.values()
        )
    np.testing.assert_array_equal(
        two_signatures.predict(x), two_signatures.predict(x, signature="encode")
    )


@pytest.mark.parametrize(
    "call",
    [
        lambda f, key: f.predict(np.ones((1, 16)), signature=key),
        lambda f, key: ek.inspect(f, key),
        lambda f, key: ek.benchmark({"f": f}, signature=key),
    ],
)
def test_an_unknown_signature_lists_those_there_are(two_signatures, call):
    with pytest.raises(ValueError, match=r"`signature` must be one of 'encode', 'head'. Rec.*'no'"):
        call(two_signatures, "no")


def test_a_file_without_signatures_takes_no_name():
    with pytest.raises(UnknownSignature, match="must be left out: the file has none"):
        read_model(
            one_op_file(OneOp("RELU", [Operand((1,), "float32")], [Operand((1,), "float32")])), "a"
        )


def test_inspect_shows_every_signature(two_signatures):
    report = ek.inspect(two_signatures)
    assert [(s.key, s.macs) for s in report.signatures] == [("encode", 256), ("head", 64)]
    assert report.macs == 256
    assert [op.index for op in report.ops] == [0, 1]
    assert "256 in 'encode', 64 in 'head'" in report.summary()
    assert ek.inspect(two_signatures, "head").macs == 64
    assert len(report.unsupported("edgetpu")) == 2


def test_benchmark_measures_the_signature(two_signatures):
    x = RNG.normal(size=(4, 16)).astype("float32")
    found = ek.benchmark(
        {"f": two_signatures},
        inputs={"z": x},
        signature="head",
        processes=1,
        seconds=0.01,
        runtime=["interpreter", "compiled"],
    )
    for name in ("f, interpreter", "f, compiled"):
        assert found[name].error is None
        assert found[name].processes


def test_serving_default_goes_before_the_first(two_signatures):
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(two_signatures.content, 0)
    model.signatureDefs[1].signatureKey = b"serving_default"
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    renamed = Flatbuffer(bytes(builder.Output()))
    assert read_model(renamed.content).subgraph == 1
    x = RNG.normal(size=(2, 16)).astype("float32")
    np.testing.assert_array_equal(renamed.predict(x), two_signatures.predict(x, signature="head"))


def test_open_sizes():
    file = lite_file(lambda a: {"s": tf.nn.relu(a)}, tf.TensorSpec([1, None, None, 1], name="a"))
    (tensor,) = read_model(file.content).inputs.values()
    assert (tensor.shape, tensor.open_shape, tensor.open) == ((1, 1, 1, 1), (1, -1, -1, 1), True)
    assert ek.inspect(file).inputs[0].open_shape == (1, -1, -1, 1)


def test_settings_by_the_names_of_the_schema():
    operands = [Operand((4, 2), "float32"), Operand((4, 3), "float32")]
    op = OneOp("BATCH_MATMUL", operands, [Operand((2, 3), "float32")], {"adjX": True})
    (found,) = read_model(one_op_file(op)).ops
    assert found.options["adj_x"] is True
    assert found.options["adj_y"] is False


def test_weights_of_few_bits():
    values = np.array([-8, -1, 0, 7, 3], np.int8)
    packed = np.array([(-8 & 15) | (-1 & 15) << 4, 7 << 4, 3], np.uint8)
    from converters.model_info import TensorInfo

    tensor = TensorInfo(0, "w", (5,), "int4", data=packed.tobytes())
    np.testing.assert_array_equal(tensor.values, values)
    tensor = TensorInfo(0, "w", (4,), "int2", data=bytes([0b11_10_01_00]))
    np.testing.assert_array_equal(tensor.values, [0, 1, -2, -1])

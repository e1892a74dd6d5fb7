"""CompiledModel where it gives what the interpreter gives, InterpreterApi where it does not."""

import json
import re

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters import package
from converters.packaging.android_interface import try_out
from converters.packaging.ports import read_ports
from tests.converters.packaging.handmade import Tensor, dense_chain, flatbuffer, lookup


def unary(op, shape, open_shape=None, dtype="float32", out=None):
    return flatbuffer(
        [
            Tensor("x", shape, dtype, open_shape=open_shape),
            Tensor("y", out or shape, dtype, open_shape=open_shape if out is None else None),
        ],
        [(op, [0], [1], None)],
        [0],
        [1],
    )


def where(signed=None):
    """The places of what is true: as many as there are."""
    return flatbuffer(
        [Tensor("x", (16,), "bool"), Tensor("y", (1, 1), "int64", open_shape=signed)],
        [("WHERE", [0], [1], schema.WhereOptionsT())],
        [0],
        [1],
    )


CASES = {
    "fixed": (unary("RELU", (1, 4)), "CompiledModel", None),
    "integers": (dense_chain([4, 3]), "CompiledModel", None),
    "an index": (lookup(), "CompiledModel", None),
    "an open batch": (unary("RELU", (1, 4), (-1, 4)), "CompiledModel", None),
    "open sides": (unary("RELU", (1, 1, 1, 2), (1, -1, -1, 2)), "InterpreterApi", "1×any×any×2"),
    "as many as are true": (where(), "InterpreterApi", r"depends on the data: 1×1 in the file"),
    "and said so": (where((-1, 1)), "InterpreterApi", r"depends on the data \(any×1\)"),
    "int16": (unary("RELU", (1, 4), dtype="int16"), "InterpreterApi", "no methods for int16"),
}


@pytest.mark.parametrize("case", CASES)
def test_the_interface(case):
    file, interface, reason = CASES[case]
    found = try_out(file, read_ports(file.content))
    assert found.interface == interface
    if reason is None:
        assert found.reason is None
    else:
        assert re.search(reason, found.reason)


def test_kotlin_for_shapes_of_the_data(tmp_path):
    package(where(), "android", tmp_path, name="net")
    text = (tmp_path / "ModelRunner.kt").read_text()
    assert "CompiledModel.create" not in text
    assert "fun run(x: BooleanArray): Outputs" in text
    assert "class Outputs(val y: LongArray, val yShape: IntArray)" in text
    assert text.count("{") == text.count("}")
    assert text.count("(") == text.count(")")
    contract = json.loads((tmp_path / "contract.json").read_text())
    assert contract["kotlin"]["interface"] == "InterpreterApi"
    (output,) = contract["outputs"]
    values = output["shape_of_a_run"]
    assert output["shape"] == [1, 1]
    assert values[0] > 1
    assert "litert:1.4.1" in (tmp_path / "CONTRACT.md").read_text()


def test_kotlin_for_open_sides(tmp_path):
    file = unary("RELU", (1, 1, 1, 2), (1, -1, -1, 2))
    package(file, "android", tmp_path, name="net")
    text = (tmp_path / "ModelRunner.kt").read_text()
    assert "fun run(x: FloatArray, xShape: IntArray): Outputs" in text
    assert "model.resizeInput(0, xShape)" in text
    assert "`x`: FloatArray, 1×any×any×2" in text


def test_what_does_not_run_at_the_sizes_of_the_file(tmp_path):
    """A pool of 4×4 on 1×1, which the file holds for sizes that are open."""
    options = schema.Pool2DOptionsT()
    options.padding = schema.Padding.VALID
    options.filterWidth = options.filterHeight = options.strideW = options.strideH = 4
    file = flatbuffer(
        [
            Tensor("x", (1, 1, 1, 1), open_shape=(1, -1, -1, 1)),
            Tensor("y", (1, 1, 1, 1), open_shape=(1, -1, -1, 1)),
        ],
        [("AVERAGE_POOL_2D", [0], [1], options)],
        [0],
        [1],
    )
    package(file, "android", tmp_path, name="net")
    contract = json.loads((tmp_path / "contract.json").read_text())
    assert contract["kotlin"]["interface"] == "InterpreterApi"


def test_names_cannot_break_out_of_the_files(tmp_path):
    name = 'in`p\nut $x "*/ | # \u202eend'
    file = flatbuffer(
        [Tensor(name, (1, 4)), Tensor(f"{name}2", (1, 4))], [("RELU", [0], [1], None)], [0], [1]
    )
    package(file, "android", tmp_path, labels=["a", "b", "c", "d"], normalization=(0, 1))
    for text in (
        path.read_text() for path in (tmp_path / "CONTRACT.md", tmp_path / "ModelRunner.kt")
    ):
        assert "ut $x" not in text.splitlines()
        assert "\u202e" not in text
    words = (tmp_path / "CONTRACT.md").read_text()
    assert not any(line.startswith("ut ") for line in words.splitlines())
    package(file, "mcu", tmp_path / "mcu", sample=np.ones((1, 4), "float32"))
    words = (tmp_path / "mcu" / "CONTRACT.md").read_text()
    assert not any(line.startswith("ut ") for line in words.splitlines())

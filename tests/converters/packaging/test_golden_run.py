"""The golden vector tells firmware that runs the model from firmware that does not."""

import json
import re
import subprocess

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema

from converters import package
from converters.packaging.golden import departures
from converters.packaging.index_inputs import index_limits
from converters.packaging.ports import read_ports
from converters.packaging.sample import Values, seeded_samples
from tests.converters.packaging.handmade import (
    Tensor,
    dense_chain,
    elementwise,
    flatbuffer,
    lookup,
)


def counted(folder, name, memory):
    """What `golden_check`, compiled, says of an output that holds this everywhere."""
    text = (folder / "golden.h").read_text()
    kind, size = re.search(rf"static const (\w+) {name}_kGoldenOutput\[(\d+)\]", text).groups()
    (folder / "never.c").write_text(
        f'#include <stdio.h>\n#include <string.h>\n#include "golden.h"\n'
        f"int main(void) {{\n  static {kind} memory[{size}];\n"
        f"  memset(memory, {memory}, sizeof memory);\n"
        f'  printf("%d", {name}_golden_check(memory));\n  return 0;\n}}\n'
    )
    subprocess.run(["gcc", "-std=c99", "never.c", "-lm", "-o", "never"], cwd=folder, check=True)
    done = subprocess.run([folder / "never"], capture_output=True, text=True, check=True)
    return int(done.stdout)


@pytest.fixture(
    params=["int32", "int8 without a scale", "an index", "int8", "zeros for most inputs"]
)
def telling(request):
    return {
        "int32": elementwise("MUL", "int32", np.array([2, 3, 5, 7]), schema.MulOptionsT()),
        "int8 without a scale": flatbuffer(
            [
                Tensor("x", (1, 6), "int8"),
                Tensor("shape", (2,), "int32", data=np.array([2, 3], "int32")),
                Tensor("y", (2, 3), "int8"),
            ],
            [("RESHAPE", [0, 1], [2], schema.ReshapeOptionsT())],
            [0],
            [2],
        ),
        "an index": lookup(),
        "int8": dense_chain([4, 4]),
        # Positive only above 3, which numbers between 0 and 1 never are.
        "zeros for most inputs": flatbuffer(
            [
                Tensor("x", (1, 40)),
                Tensor("limit", (1,), data=np.array([1.5], "float32")),
                Tensor("over", (1, 40)),
                Tensor("y", (1, 40)),
            ],
            [
                ("SUB", [0, 1], [2], schema.SubOptionsT()),
                ("RELU", [2], [3], None),
            ],
            [0],
            [3],
        ),
    }[request.param]


def test_firmware_that_never_runs_the_model_fails(telling, tmp_path):
    package(telling, "mcu", tmp_path, name="net")
    golden = json.loads((tmp_path / "contract.json").read_text())["golden"]
    assert golden["silent_outputs"] == []
    assert golden["not_compared"] is None
    assert counted(tmp_path, "net", 0) > 0
    header = (tmp_path / "golden.h").read_text()
    given = re.search(r"kGoldenInput\[\d+\] = \{(.*?)\}", header, re.S)[1]
    values = [float(v) for v in re.findall(r"-?[\d.]+(?:e-?\d+)?", given)]
    assert len(set(values)) > 1


def test_an_output_that_never_changes_is_named(tmp_path):
    nothing = elementwise("MUL", "int32", np.zeros(4), schema.MulOptionsT())
    package(nothing, "mcu", tmp_path, name="net")
    golden = json.loads((tmp_path / "contract.json").read_text())["golden"]
    assert golden["silent_outputs"] == ["y"]
    assert counted(tmp_path, "net", 0) == 0
    assert "**Not a check of `y`**" in (tmp_path / "CONTRACT.md").read_text()


def test_a_users_sample_is_kept_and_spoken_of(tmp_path):
    double = elementwise("MUL", "int32", np.full(4, 2), schema.MulOptionsT())
    package(double, "mcu", tmp_path, name="net", sample=np.zeros((1, 4), "int32"))
    golden = json.loads((tmp_path / "contract.json").read_text())["golden"]
    assert (golden["input"], golden["silent_outputs"]) == ("a sample of the user", ["y"])


def test_indices_are_within_their_table():
    content = lookup(rows=3).content
    ports = read_ports(content)
    assert index_limits(content, ports) == {"index": 3}
    for sample in seeded_samples(content, ports):
        assert set(sample["index"].stored.ravel()) <= {0, 1, 2}


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "int64"])
def test_integers_without_a_scale_are_spread_over_their_range(dtype):
    double = elementwise("ADD", dtype, np.zeros(500), schema.AddOptionsT())
    sample = next(seeded_samples(double.content, read_ports(double.content)))
    found = sample["x"].stored.astype(float)
    limits = np.iinfo(dtype)
    low, high = max(limits.min, -1000), min(limits.max, 1000 if limits.bits > 16 else limits.max)
    low = limits.min if limits.bits <= 16 else low
    assert found.min() < low + 0.1 * (high - low)
    assert found.max() > high - 0.1 * (high - low)


def test_departures_are_those_that_the_c_code_counts():
    (port,) = read_ports(dense_chain([2, 3]).content).outputs
    golden = Values(np.zeros((1, 3)), np.array([[-128, 5, 127]], "int8"))
    for found, expected in (([-127, 4, 126], 0), ([-126, 7, 127], 2), ([127, 127, -128], 3)):
        assert departures(port, golden, np.array([found], "int8")) == expected


def test_what_only_tflite_micro_runs_is_packaged(tmp_path):
    """Old files have the axis of a per-channel kernel on its bias too, where there is none."""
    rng = np.random.default_rng(0)
    scales = tuple(np.linspace(0.01, 0.02, 4).tolist())
    options = schema.Conv2DOptionsT()
    options.strideW = options.strideH = options.dilationWFactor = options.dilationHFactor = 1
    old = flatbuffer(
        [
            Tensor("x", (1, 4, 4, 2), "int8", (0.05,), 3),
            Tensor(
                "kernel", (4, 1, 1, 2), "int8", scales, 0,
                rng.integers(-99, 99, (4, 1, 1, 2)).astype("int8"),
            ),
            Tensor(
                "bias", (4,), "int32", tuple(0.05 * s for s in scales), 0,
                rng.integers(-99, 99, 4).astype("int32"), 3,
            ),
            Tensor("y", (1, 4, 4, 4), "int8", (0.05,), 1),
        ],
        [("CONV_2D", [0, 1, 2], [3], options)],
        [0],
        [3],
    )  # fmt: skip
    with pytest.raises(ValueError, match="LiteRT"):
        old.predict(np.zeros((1, 4, 4, 2), "int8"))
    package(old, "mcu", tmp_path, name="old")
    golden = json.loads((tmp_path / "contract.json").read_text())["golden"]
    assert golden["against_litert"] is None
    assert "LiteRT" in golden["not_compared"]
    assert "not compared: LiteRT cannot" in (tmp_path / "CONTRACT.md").read_text()

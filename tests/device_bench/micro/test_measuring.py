import json

import numpy as np
import pytest

from converters.packaging.arena import run_micro
from converters.packaging.ports import read_ports
from device_bench import benchmark
from device_bench.micro.flash import code_bytes


@pytest.fixture(scope="module")
def found(files, data):
    models = {"int8": files["int8"], "float32": files["float32"], "float16": files["float16"]}
    return benchmark(models, inputs=data[0], device="mcu")


def test_arena_is_what_tflite_micro_says(found, files):
    port = read_ports(files["int8"].content).inputs[0]
    run = run_micro(files["int8"].content, [np.zeros(port.shape, port.dtype)], 1)
    m = found["int8"]
    assert (m.head, m.tail, m.arena_bytes) == (run.head, run.tail, run.least)
    assert found["float32"].head > m.head


def test_outputs_are_those_of_reference_kernels(found):
    for name in ("int8", "float32"):
        (parity,) = found[name].parity.values()
        assert found[name].runs == 8
        assert parity["equal"] > 0.8
        assert parity["largest"] <= (1 if name == "int8" else 1e-5)


def test_flash_is_the_file_and_the_code_for_its_ops(found, files):
    m = found["int8"]
    assert m.flash_bytes == files["int8"].size + m.code_bytes
    assert 20_000 < m.code_bytes < 200_000
    assert code_bytes([]) < code_bytes(["ADD"]) < code_bytes(["ADD", "CONV_2D"])
    both = code_bytes(["MAX_POOL_2D", "AVERAGE_POOL_2D"]) - code_bytes([])
    alone = code_bytes(["MAX_POOL_2D"]) - code_bytes([])
    assert both < 2 * alone  # they share code
    assert m.macs > 0


def test_what_does_not_run_is_a_row_with_the_reason(found):
    m = found["float16"]
    assert "TensorFlow Lite Micro cannot run this model" in m.error
    assert m.arena_bytes is m.flash_bytes is None
    assert "float16 failed" in " ".join(str(found).split())
    assert found["int8"].error is None


def test_table_and_json(found, tmp_path):
    text = " ".join(str(found).split())
    assert "Code is an estimate" in text
    kept = json.loads(found.to_json(tmp_path / "micro.json").read_text())
    assert (kept["schema_version"], kept["kind"]) == (2, "micro")
    assert kept["measurements"][0]["arena_bytes"] == found["int8"].arena_bytes
    with pytest.raises(KeyError, match="no model 'x'; there are"):
        found["x"]


def test_noise_is_fed_where_nothing_is_given(files):
    one, other = (benchmark({"m": files["int8"]}, device="mcu") for _ in range(2))
    assert one.settings["inputs"] == "noise"
    assert one["m"].parity == other["m"].parity


@pytest.mark.parametrize(
    "option",
    [
        {"labels": np.array([1])},
        {"mode": "quick"},
        {"kernels": "builtin"},
        {"batch": 2},
        {"threads": 2},
        {"processes": 3},
    ],
)
def test_options_of_the_host_are_refused(files, option):
    (name,) = option
    with pytest.raises(ValueError, match=f"`{name}` says nothing to device 'mcu'"):
        benchmark({"m": files["int8"]}, device="mcu", **option)

import json

import pytest

from device_bench import benchmark
from device_bench.devices import device_kind


@pytest.fixture(scope="module")
def found(files):
    models = {"int8": files["int8"], "float32": files["float32"]}
    return benchmark(models, device="ethos-u55-128")


def test_an_integer_model_runs_on_the_npu(found):
    m = found["int8"]
    assert m.error is None
    assert (m.npu_ops, m.cpu_ops) == (m.ops, ())
    assert m.milliseconds == pytest.approx(1000 * m.cycles / (1e6 * found.settings["clock_mhz"]))
    assert 0 < m.sram_bytes < 1e6
    assert 0 < m.flash_bytes < 1e6
    assert m.macs > 0


def test_floats_are_left_to_the_processor(found):
    m = found["float32"]
    assert m.npu_ops == 0
    assert any("CONV_2D" in name for name in m.cpu_ops)
    text = " ".join(str(found).split())
    assert f"0 of {m.ops}" in text
    assert "float32: left to the processor" in text


def test_a_larger_npu_is_faster(files, found):
    larger = benchmark({"int8": files["int8"]}, device="ethos-u55-256")
    assert larger["int8"].milliseconds < found["int8"].milliseconds


def test_json(found, tmp_path):
    kept = json.loads(found.to_json(tmp_path / "npu.json").read_text())
    assert (kept["schema_version"], kept["kind"]) == (2, "npu")
    assert kept["settings"]["device"] == "ethos-u55-128"


def test_devices_are_known_by_their_names():
    assert device_kind("adb:emulator-5554") == ("adb", "emulator-5554")
    assert device_kind("ethos-u85-2048") == ("ethos-u", "ethos-u85-2048")
    for name in ("ethos-u99", "gpu", "", None, "ethos-u55-512"):
        with pytest.raises(ValueError, match="`device` must be 'host', 'mcu', 'adb'"):
            device_kind(name)

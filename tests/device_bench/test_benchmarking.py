import json

import numpy as np
import pytest

from converters import Flatbuffer
from device_bench import benchmark

QUICK = {"processes": 2, "seconds": 0.05}


@pytest.fixture(scope="module")
def result(files, data):
    calls = []
    models = {"float32": files["float32"], "int8": files["int8"]}
    found = benchmark(
        models, inputs=data[0], **QUICK, on_progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(i, 4) for i in range(1, 5)]
    return found


def test_phases_and_statistics(result, files):
    for m in result.measurements:
        assert m.error is None
        assert m.file_bytes == files[m.name].size
        assert len(m.processes) == 2
        assert m.runs >= 60
        low, high = m.median_interval_ms
        assert 0 < low <= m.median_ms <= high
        assert m.p90_ms >= min(m.process_medians_ms)
        assert m.load_ms > 0
        assert m.first_ms > 0
        assert m.warmup_ms >= 5 * min(m.processes[0]["samples_us"]) / 1000
        assert all(p["warmup_runs"] >= 5 for p in m.processes)


def test_memory_is_that_of_a_process_without_tensorflow(result):
    assert all(10 < m.peak_memory_mb < 150 for m in result.measurements)


def test_the_figures_follow_from_the_raw_samples(result):
    m = result["int8"]
    medians = [np.median(p["samples_us"]) / 1000 for p in m.processes]
    assert m.median_ms == pytest.approx(np.median(medians))


def test_json_holds_everything(result, tmp_path):
    path = result.to_json(tmp_path / "bench.json")
    found = json.loads(path.read_text())
    assert found["schema_version"] == 1
    assert found["settings"]["inputs"] == "real samples"
    assert found["host"]["cores"] >= 1
    assert [m["name"] for m in found["measurements"]] == ["float32", "int8"]
    assert len(found["measurements"][0]["raw"][0]["samples_us"]) >= 30


def test_table(result):
    text = str(result)
    assert "int8" in text
    assert "not rank int8 against float for phones" in " ".join(text.split())
    ratio, low, high = result.ratio("int8", "float32")
    assert low <= ratio <= high


def test_a_model_that_cannot_run_fails_alone(files, tmp_path):
    # The schema is whole, but the op code of the first op is one that LiteRT does not have.
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(files["int8"].content, 0))
    model.operatorCodes[0].builtinCode = 200000
    model.operatorCodes[0].deprecatedBuiltinCode = 127
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    broken = Flatbuffer(bytes(builder.Output()))
    found = benchmark({"broken": broken, "int8": files["int8"]}, **QUICK)
    assert "Error" in found["broken"].error
    assert found["int8"].error is None
    assert found["int8"].median_ms > 0
    assert found.to_dict()["measurements"][0]["error"] == found["broken"].error
    assert f"broken failed: {found['broken'].error}"[:40] in " ".join(str(found).split())
    with pytest.raises(KeyError, match="no model 'none'; there are"):
        found["none"]


def test_a_batch_larger_than_what_is_fed(data):
    import keras

    import edgekit as ek

    model = keras.Sequential([keras.Input((8,), batch_size=48), keras.layers.Dense(2)])
    x = np.random.default_rng(0).random((96, 8))
    assert benchmark(ek.convert(model), inputs=x, **QUICK)["float32"].error is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "phone"}, "`device` must be one of"),
        ({"threads": 0}, "`threads` must be above 0"),
        ({"processes": 1.5}, "`processes` must be a whole number"),
        ({"seconds": -1}, "`seconds` must be above 0"),
        ({"seconds": float("inf")}, "`seconds` must be above 0 and at most 3600"),
        ({"threads": 100000}, "`threads` must be above 0 and at most 256"),
        ({"seed": -1}, "`seed` must be a whole number from 0"),
        ({"inputs": np.zeros((3, 8, 8))}, "`inputs` for input 'image' must have shape"),
        ({"inputs": np.zeros((0, 8, 8, 3))}, "is empty"),
    ],
)
def test_bad_arguments(files, options, match):
    with pytest.raises(ValueError, match=match):
        benchmark({"int8": files["int8"]}, **options)


def test_missing_and_wrong_files(tmp_path):
    for models in ({}, ["a.tflite"]):
        with pytest.raises(ValueError, match="`models` must be a {name: model}"):
            benchmark(models)
    with pytest.raises(FileNotFoundError):
        benchmark({"a": tmp_path / "none.tflite"})
    (tmp_path / "text.tflite").write_text("hello, this is text")
    with pytest.raises(ValueError, match="text.tflite: not a LiteRT"):
        benchmark({"a": tmp_path / "text.tflite"})

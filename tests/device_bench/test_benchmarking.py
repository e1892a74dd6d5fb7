import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from device_bench import Result, Setting, benchmark, modes
from tests.device_bench import broken_models

QUICK = {"processes": 2, "seconds": 0.05}
RESNET8 = Path(os.environ.get("EDGEKIT_DATA", "no data")) / "mlperf_tiny" / "resnet8_int8.tflite"


@pytest.fixture(scope="module")
def result(files, data):
    calls = []
    models = {"float32": files["float32"], "int8": files["int8"]}
    found = benchmark(
        models,
        inputs=data[0],
        labels=data[1],
        **QUICK,
        on_progress=lambda done, total: calls.append((done, total)),
    )
    # A check of each, and two rounds of both and the first once more.
    assert calls == [(i, 8) for i in range(1, 9)]
    return found


def test_phases_and_statistics(result, files):
    for m in result.measurements:
        assert m.error is None
        assert m.file_bytes == files[m.name].size
        assert m.sha256 == files[m.name].sha256
        assert len(m.processes) == 2
        assert m.runs >= 100
        low, high = m.median_interval_ms
        assert 0 < low <= m.median_ms <= high
        assert m.min_ms <= m.median_ms <= m.p90_ms
        assert min(m.import_ms, m.load_ms, m.allocate_ms, m.first_ms, m.warmup_ms) > 0
        assert m.windows[0]["warmup_runs"] >= 10
        assert 0 < m.throughput < 1000 / m.min_ms


def test_outputs_are_checked_and_accuracy_is_that_of_these_kernels(result, files, data):
    x, y = data
    for m in result.measurements:
        assert m.check["samples"] == 4
        assert all(v is None or v > 20 for v in m.check["decibel"].values())  # None: all equal
        assert m.accuracy == np.mean(files[m.name].predict(x).argmax(1) == y)


def test_memory_is_split(result, files):
    for m in result.measurements:
        assert 0 < m.weight_bytes < m.file_bytes
        assert 0 < m.arena_bytes < 1e6
        assert 0 < m.growth_bytes < m.peak_memory_bytes < 150e6  # without TensorFlow


def test_the_figures_follow_from_the_raw_samples(result):
    for m in result.measurements:
        windows = [p["windows"][0] for p in m.processes]
        assert m.median_ms == pytest.approx(np.median([w["median"] for w in windows]) / 1000)
        for window in windows:
            samples = np.array(window["samples_us"])
            if window["runs"] == len(samples):
                assert window["median"] == pytest.approx(np.median(samples))
            else:  # not all runs are kept, and a run takes few ticks of the clock
                below, to = (samples < window["median"]), (samples <= window["median"])
                assert below.mean() < 0.55
                assert to.mean() > 0.45


def test_equal_things_are_measured_each_for_itself(files):
    models = {"one": files["int8"], "other": files["int8"]}
    found = benchmark(models, processes=6, seconds=0.02)
    raw = [m.processes for m in (*found.measurements, found.twin)]
    assert raw[0] != raw[1] != raw[2] != raw[0]
    assert found.noise_floor > 0
    assert found.ratio("other", "one").pairs == 6
    assert found.verdict("one", "one") == "no difference"


def test_json_holds_everything_and_is_read_again(result, tmp_path):
    path = result.to_json(tmp_path / "bench.json")
    found = json.loads(path.read_text())
    assert found["schema_version"] == 2
    assert found["settings"]["inputs"] == "real samples"
    assert found["host"]["cores"] >= 1
    assert [m["name"] for m in found["measurements"]] == ["float32", "int8"]
    assert len(found["measurements"][0]["raw"][0]["windows"][0]["samples_us"]) >= 50
    assert found["measurements"][1]["ratio_to_first"]["pairs"] == 2
    again = Result.from_json(path)
    assert again.to_dict() == result.to_dict()
    assert str(again) == str(result)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is no benchmark"),
        ("no JSON", "is no benchmark"),
        ('{"schema_version": 1, "kind": "timing"}', "'timing' in version 1"),
        ('{"schema_version": 2, "kind": "micro"}', "of kind 'micro'"),
        ('{"schema_version": 2, "kind": "timing"}', "with something missing: 'twin'"),
    ],
)
def test_other_files_are_no_results(tmp_path, text, message):
    path = tmp_path / "other.json"
    path.write_text(text)
    with pytest.raises(ValueError, match=message):
        Result.from_json(path)


def test_table(result):
    text = str(result)
    assert "int8" in text
    assert "accuracy" in text
    assert "not rank int8 against float for phones" in " ".join(text.split())
    ratio = result.ratio("int8", "float32")
    assert ratio.low <= ratio.value <= ratio.high
    with pytest.raises(KeyError, match="no model 'none'; there are"):
        result["none"]


def test_settings_are_rows(files):
    found = benchmark(
        {"int8": files["int8"]},
        kernels=["xnnpack", "builtin"],
        batch=[None, 4],
        runtime=["interpreter", "compiled"],
        processes=1,
        seconds=0.02,
    )
    assert [m.error for m in found.measurements] == [None] * 8
    plain = found["int8, builtin, own batch, interpreter"]
    assert plain.setting == Setting("builtin")
    larger = found["int8, builtin, batch 4, interpreter"]
    assert larger.arena_bytes == pytest.approx(4 * plain.arena_bytes, rel=0.2)
    assert 0 < larger.throughput < 4000 / larger.min_ms


def test_mlperf_modes(files, monkeypatch):
    """With windows of 20 ms in place of 10 and 60 s."""
    for name in ("mlperf-tiny", "mlperf-mobile"):
        monkeypatch.setitem(modes.MODES, name, replace(modes.MODES[name], seconds=0.02))
    tiny = benchmark({"int8": files["int8"]}, mode="mlperf-tiny")
    assert len(tiny["int8"].windows) == 5
    assert tiny.twin is None
    rates = [window["runs"] / window["seconds"] for window in tiny["int8"].windows]
    assert tiny["int8"].throughput == pytest.approx(np.median(rates))
    assert "samples/s" in str(tiny)
    mobile = benchmark({"int8": files["int8"]}, mode="mlperf-mobile")
    (window,) = mobile["int8"].windows
    assert window["runs"] >= 1024
    assert mobile["int8"].headline == "p90"


def test_reference_kernels_are_not_compared_with_themselves(files):
    found = benchmark({"int8": files["int8"]}, kernels="reference", processes=1, seconds=0.02)
    assert found["int8"].check == {"unchecked": "these are the reference kernels"}


def test_what_does_harm_does_it_alone(files):
    models = {
        "endless": broken_models.endless(),
        "unknown": broken_models.unknown_op(files["int8"].content),
        "int8": files["int8"],
        "immense": broken_models.immense(),
        "crashing": broken_models.crashing(),
        "leaking": broken_models.leaking(),
    }
    found = benchmark(models, **QUICK, timeout=8)
    errors = {m.name: m.error for m in found.measurements if m.error}
    assert errors == {
        "endless": "no answer after 8 s",
        "unknown": errors["unknown"],
        "immense": errors["immense"],
        "crashing": "the process crashed with SIGSEGV",
    }
    assert "Op builtin_code out of range" in errors["unknown"]
    assert "GB that this machine has left" in errors["immense"]
    assert any(flag.startswith("leaks: grew by") for flag in found.flags("leaking"))
    assert found["int8"].median_ms > 0
    assert not any(flag.startswith("leaks") for flag in found.flags("int8"))
    assert "endless failed: no answer" in " ".join(str(found).split())
    assert found.to_dict()["measurements"][0]["error"] == "no answer after 8 s"


def test_what_computes_something_else_is_not_timed():
    found = benchmark({"other": broken_models.not_finite()}, **QUICK)
    assert found["other"].processes == []
    assert "is not finite, by reference kernels it is" in found["other"].error


@pytest.mark.skipif(not RESNET8.exists(), reason="MLPerf Tiny's models are not here")
def test_noise_on_which_a_classifier_is_torn_does_not_speak_against_it():
    found = benchmark({"resnet8": RESNET8}, processes=1, seconds=0.02, seed=15)
    assert found["resnet8"].error is None
    assert found["resnet8"].check["samples"] == 16


def test_what_was_not_measured_has_no_ratio(files):
    found = benchmark({"int8": files["int8"], "other": broken_models.not_finite()}, **QUICK)
    assert found.verdict("other", "int8") == "not measured"
    with pytest.raises(ValueError, match="'other' was not measured: output .* is not finite"):
        found.ratio("other", "int8")


def test_a_stopped_benchmark_goes_on(files, tmp_path):
    models, keep = {"float32": files["float32"], "int8": files["int8"]}, tmp_path / "kept.json"

    def stop(done, total):
        if done == 4:
            raise KeyboardInterrupt

    first = benchmark(models, processes=3, seconds=0.02, keep=keep, on_progress=stop)
    assert first.settings["interrupted"]
    measured = [process for m in (*first.measurements, first.twin) for process in m.processes]
    assert len(measured) == 2
    assert "interrupted" in str(first)
    with pytest.raises(ValueError, match="kept.json is of another benchmark"):
        benchmark(models, processes=3, seconds=0.03, keep=keep)
    whole = benchmark(models, processes=3, seconds=0.02, keep=keep)
    assert not whole.settings["interrupted"]
    for one, started in zip(
        (*whole.measurements, whole.twin), (*first.measurements, first.twin), strict=True
    ):
        assert len(one.processes) == 3
        assert one.processes[: len(started.processes)] == started.processes
    assert not keep.exists()  # the next one measures anew
    keep.write_text("[]")
    with pytest.raises(ValueError, match="is not a file of measurements"):
        benchmark(models, **QUICK, keep=keep)


def test_accuracy_counts_every_sample(files, data):
    x, y = data[0][:10], data[1][:10]
    found = benchmark({"int8": files["int8"]}, inputs=x, labels=y, batch=4, **QUICK)
    assert found["int8"].accuracy == np.mean(files["int8"].predict(x).argmax(1) == y)


def test_several_and_odd_outputs():
    """Two outputs, one of them a single number, and one that is the same zeros always."""
    import tensorflow as tf

    file = broken_models.converted(lambda x: (tf.reduce_sum(x), 0.0 * x), [1, 4])
    found = benchmark({"two": file}, **QUICK)
    assert found["two"].error is None
    assert len(found["two"].check["decibel"]) == 2
    x = np.ones((2, 4), "float32")
    with pytest.raises(ValueError, match="one output of classes; that of model 'two' has shapes"):
        benchmark({"two": file}, inputs=x, labels=[0, 1])


def test_a_batch_larger_than_what_is_fed():
    import keras

    import edgekit as ek

    model = keras.Sequential([keras.Input((8,), batch_size=48), keras.layers.Dense(2)])
    x = np.random.default_rng(0).random((96, 8))
    found = benchmark(ek.convert(model), inputs=x, **QUICK)["float32"]
    assert found.error is None
    rates = [window["runs"] / window["seconds"] for window in found.windows]
    assert found.throughput == pytest.approx(48 * np.median(rates))  # samples, not runs


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"device": "phone"}, "`device` must be 'host', 'mcu'"),
        ({"threads": 0}, "`threads` must be above 0"),
        ({"processes": 1.5}, "`processes` must be a whole number"),
        ({"seconds": -1}, "`seconds` must be above 0"),
        ({"threads": 100000}, "`threads` must be above 0 and at most 256"),
        ({"seed": -1}, "`seed` must be a whole number from 0"),
        ({"timeout": 0}, "`timeout` must be above 0"),
        ({"mode": "long"}, "`mode` must be one of"),
        ({"inputs": np.zeros((3, 8, 8))}, "`inputs` for input 'image' must have shape"),
        ({"inputs": np.zeros((0, 8, 8, 3))}, "is empty"),
        ({"labels": [1, 2]}, "`labels` need `inputs`"),
        ({"inputs": np.zeros((3, 8, 8, 3)), "labels": [1, 2]}, "2 entries for 3 samples"),
        ({"inputs": np.zeros((2, 8, 8, 3)), "labels": [0.5, 1]}, "must be class numbers"),
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

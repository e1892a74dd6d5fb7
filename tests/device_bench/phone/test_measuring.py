"""The phone is this computer, behind an `adb` that runs its commands here."""

import os
import subprocess
from pathlib import Path

import pytest

from device_bench import benchmark
from device_bench.phone.result import read_results
from device_bench.phone.script import file_names, write_script

RECORDED = Path(__file__).parent / "recorded"
ADB = """#!/bin/sh
if [ "$1" = -s ]; then
  [ "$2" = PHONE ] || {{ echo "error: device '$2' not found"; exit 1; }}
  shift 2
fi
case "$1" in
  shell) shift; case "$*" in
      getprop*) echo "Pixel X" ;;
      *) cd {root} && sh -c "$(echo "$*" | sed 's#/data/local/tmp#{root}#g')" ;;
    esac ;;
  push) shift; for last; do :; done
    to=$(echo "$last" | sed 's#/data/local/tmp#{root}#g')
    while [ $# -gt 1 ]; do cp "$1" "$to" || exit 1; shift; done ;;
esac
"""
BINARY = """#!/bin/sh
for each; do case "$each" in --graph=*) graph="${{each#--graph=}}" ;; esac; done
[ -f "$graph" ] || {{ echo "no such file: $graph"; exit 1; }}
case "$graph" in *broken*) echo "ERROR: Op builtin_code out of range"; exit 1 ;; esac
echo "STARTING!"
echo "Log parameter values verbosely: [0]"
echo "Graph: [$graph]"
cat {recorded}
"""


@pytest.fixture
def phone(tmp_path, monkeypatch):
    for name, text in (("adb", ADB), ("benchmark_model", BINARY)):
        path = tmp_path / "bin" / name
        path.parent.mkdir(exist_ok=True)
        recorded = RECORDED / "yolov5s_phone_2021.txt"
        path.write_text(text.format(root=tmp_path / "phone", recorded=recorded))
        path.chmod(0o755)
    (tmp_path / "phone").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    return tmp_path


def test_models_are_measured_in_turns(phone, files):
    calls = []
    found = benchmark(
        {"int 8": files["int8"], "float32": files["float32"]},
        device="adb:PHONE",
        processes=6,
        binary=phone / "bin" / "benchmark_model",
        on_progress=lambda done, total: calls.append((done, total)),
    )
    assert found.settings["device"] == "Pixel X"
    assert calls == [(n, 12) for n in range(1, 13)]
    assert [run.round for run in found["int 8"].runs] == list(range(6))
    assert found.ratio("float32", "int 8").pairs == 6
    assert found["int 8"].median_ms == pytest.approx(249.684)
    assert found["int 8"].runs[0].graph.endswith("/edgekit/int_8.tflite")
    assert "≈ 1" in str(found)
    assert found.to_dict()["kind"] == "phone"


def test_a_model_that_fails_there_is_a_row(phone, files):
    models = {"int8": files["int8"], "broken": files["float32"]}
    found = benchmark(
        models, device="adb:PHONE", processes=2, binary=phone / "bin" / "benchmark_model"
    )
    assert "no finished run" in found["broken"].error
    assert not found["broken"].measured
    assert found["int8"].measured
    assert "broken failed" in " ".join(str(found).split())


def test_a_script_for_where_the_phone_is(phone, files):
    path = write_script({"a b": files["int8"], "c": files["float32"]}, phone / "kit", processes=2)
    missing = subprocess.run(["sh", path, "PHONE"], capture_output=True, text=True)
    assert missing.returncode == 2
    assert "put benchmark_model here first" in missing.stderr
    (phone / "bin" / "benchmark_model").rename(phone / "kit" / "benchmark_model")
    done = subprocess.run(["sh", path, "PHONE"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = read_results(phone / "kit" / "results.txt")
    assert found.settings["device"] == "Pixel X"
    assert sorted(m.name for m in found.measurements) == ["a_b", "c"]
    assert [len(m.runs) for m in found.measurements] == [2, 2]
    assert found.ratio("c", "a_b").pairs == 2


def test_a_model_that_fails_where_the_phone_is(phone, files):
    models = {"good": files["int8"], "broken": files["float32"]}
    path = write_script(models, phone / "kit", "PHONE", processes=2)
    (phone / "bin" / "benchmark_model").rename(phone / "kit" / "benchmark_model")
    subprocess.run(["sh", path], check=True, capture_output=True)
    found = read_results(phone / "kit" / "results.txt")
    assert found["broken"].error == "2 of its runs did not come to an end"
    assert found["good"].error is None
    assert len(found["good"].runs) == 2


def test_a_serial_is_no_shell_code(phone, files):
    path = write_script({"a": files["int8"]}, phone / "kit", "$(touch harm)")
    (phone / "bin" / "benchmark_model").rename(phone / "kit" / "benchmark_model")
    done = subprocess.run(["sh", path], capture_output=True, text=True)
    assert "device '$(touch harm)' not found" in done.stdout + done.stderr
    assert not (phone / "kit" / "harm").exists()


def test_what_is_missing_is_said(phone, files, monkeypatch):
    models = {"int8": files["int8"]}
    with pytest.raises(FileNotFoundError, match="benchmark_model, from https://"):
        benchmark(models, device="adb:PHONE", binary=phone / "none")
    with pytest.raises(OSError, match="device 'OTHER' not found"):
        benchmark(models, device="adb:OTHER", binary=phone / "bin" / "benchmark_model")
    monkeypatch.setenv("PATH", str(phone))
    with pytest.raises(FileNotFoundError, match="adb is not installed here: .* --script"):
        benchmark(models, device="adb")
    empty = phone / "empty.txt"
    empty.write_text("EDGEKIT a round 0\n")
    with pytest.raises(ValueError, match="empty.txt: there is no finished run"):
        read_results(empty)


def test_file_names_are_safe_and_different():
    names = file_names(["a b", "a/b", "ä", "$(rm x)", "-rf"])
    assert list(names.values()) == [
        "a_b.tflite",
        "a_b_.tflite",
        "model.tflite",
        "rm_x.tflite",
        "rf.tflite",
    ]

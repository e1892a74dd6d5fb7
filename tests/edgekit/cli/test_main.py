"""The commands as a user runs them, good input and bad."""

import json
import subprocess
import sys
import warnings

import numpy as np
import pytest
from click.testing import CliRunner

from edgekit.cli import main


@pytest.fixture(autouse=True)
def keep_showwarning(monkeypatch):
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)


def run(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


def test_help_of_every_command_has_an_example():
    assert "0 done, 1 a check failed, 2 bad input" in run("--help").output
    for command in main.commands:
        found = run(command, "--help")
        assert found.exit_code == 0
        assert f"Example:\n    edgekit {command}" in found.output, command


def test_convert_writes_the_files(folder, tmp_path):
    found = run(
        "convert", folder / "model.keras", "--format", "float16", "--format", "int8",
        "--calibration", folder / "x.npy", "--out", tmp_path, "--json",
    )  # fmt: skip
    assert found.exit_code == 0, found.output
    rows = json.loads(found.stdout)
    assert [row["format"] for row in rows] == ["float16", "int8"]
    assert {p.name for p in tmp_path.iterdir()} == {"model_float16.tflite", "model_int8.tflite"}
    assert rows[1]["bytes"] == (tmp_path / "model_int8.tflite").stat().st_size
    assert rows[1]["float_islands"] == []


def test_targets_are_judged(folder, tmp_path):
    found = run("inspect", folder / "int8.tflite", "--target", "ethos-u", "--target", "litert")
    assert "all ops run on ethos-u" in found.output
    report = json.loads(
        run("inspect", folder / "float32.tflite", "--target", "ethos-u", "--json").stdout
    )
    assert report["unsupported"]["ethos-u"][0]["op"] == "CONV_2D"
    found = run("convert", folder / "model.keras", "--target", "edgetpu", "--out", tmp_path)
    assert "not on edgetpu" in found.output, found.output


def test_sensitivity_and_mixed_precision(folder, tmp_path):
    arguments = [folder / "model.keras", "--calibration", folder / "x.npy"]
    found = run("sensitivity", *arguments)
    assert found.exit_code == 0, found.output
    assert "8-bit weights" in found.output
    assert json.loads(run("sensitivity", *arguments, "--json").stdout)["ops"][0]["noise"]
    out = tmp_path / "mixed.tflite"
    found = run("mixed-precision", *arguments, "--max-bytes", 60_000, "--out", out, "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["bytes"] == out.stat().st_size
    found = run("mixed-precision", *arguments, "--max-bytes", 10, "--out", out)
    assert found.exit_code == 2
    assert "no file fits 10 bytes" in found.stderr
    found = run("mixed-precision", out, *arguments[1:], "--max-bytes", 60_000, "--out", out)
    assert "is a file to read" in found.stderr


def test_inspect_prints_tables_and_json(folder):
    found = run("inspect", folder / "int8.tflite")
    assert found.exit_code == 0
    for word in ("CONV_2D", "zero point", "multiply-accumulates", "float islands: none"):
        assert word in found.output
    assert json.loads(run("inspect", folder / "int8.tflite", "--json").stdout)["ops"]


def test_bench_prints_a_table_and_json(folder):
    files = [folder / "float32.tflite", folder / "int8.tflite"]
    quick = ["--processes", 2, "--seconds", 0.05, "--inputs", folder / "x.npy"]
    found = run("bench", *files, *quick)
    assert found.exit_code == 0, found.output
    assert "median" in found.output
    report = json.loads(run("bench", *files, *quick, "--json").stdout)
    assert [m["name"] for m in report["measurements"]] == ["float32", "int8"]


def bad_inputs(folder, tmp_path):
    model, x = folder / "model.keras", folder / "x.npy"
    np.save(tmp_path / "nan.npy", np.full((4, 8, 8, 3), np.nan))
    np.save(tmp_path / "empty.npy", np.zeros((0, 8, 8, 3)))
    np.save(tmp_path / "shape.npy", np.zeros((4, 9, 8, 3)))
    (tmp_path / "broken.keras").write_bytes(model.read_bytes()[:2000])
    (tmp_path / "text.tflite").write_text("not a model at all")
    int8 = ["convert", model, "--format", "int8", "--out", tmp_path]
    return {
        "missing model": (["convert", "none.keras"], "no such file: none.keras"),
        "broken model": (["convert", tmp_path / "broken.keras"], "expected a whole .keras archive"),
        "wrong kind": (["convert", x], "is no Keras model"),
        "no calibration": (int8, "--format int8 needs --calibration"),
        "missing calibration": ([*int8, "--calibration", "none.npz"], "no such file: none.npz"),
        "empty calibration": ([*int8, "--calibration", tmp_path / "empty.npy"], "is empty"),
        "NaN": ([*int8, "--calibration", tmp_path / "nan.npy"], "NaN or infinite"),
        "wrong shape": ([*int8, "--calibration", tmp_path / "shape.npy"], "must have shape"),
        "file as folder": (["convert", model, "--out", tmp_path / "nan.npy"], "is a file: name a"),
        "unknown format": (["convert", model, "--format", "int7"], "'int7' is not one of"),
        "corrupt tflite": (["inspect", folder / "corrupt.tflite"], "damaged LiteRT flatbuffer"),
        "text as tflite": (["inspect", tmp_path / "text.tflite"], "not a LiteRT flatbuffer"),
        "missing tflite": (["inspect", "none.tflite"], "no such file: none.tflite"),
        "bench corrupt": (["bench", tmp_path / "text.tflite"], "not a LiteRT flatbuffer"),
        "bench cut": (["bench", folder / "corrupt.tflite"], "damaged LiteRT flatbuffer"),
        "bench twice": (["bench", folder / "int8.tflite", folder / "int8.tflite"], "named twice"),
        "demo seed": (["demo", "--out", tmp_path / "new", "--seed", -1], "'--seed'"),
        "bench missing": (["bench", "none.tflite"], "no such file"),
        "bench nothing": (["bench"], "Missing argument"),
        "bench shapes": (
            ["bench", folder / "int8.tflite", "--inputs", tmp_path / "shape.npy"],
            "must have shape",
        ),
        "bench zero": (
            ["bench", folder / "int8.tflite", "--processes", 0],
            "0 is not in the range",
        ),
    }


def test_bad_input_is_one_sentence_and_exit_code_2(folder, tmp_path):
    cases = bad_inputs(folder, tmp_path)
    before = sorted(tmp_path.iterdir())
    for name, (arguments, sentence) in cases.items():
        found = run(*arguments)
        assert found.exit_code == 2, (name, found.output)
        assert sentence in found.stderr, (name, found.stderr)
        assert "Traceback" not in found.output, name
        assert found.stdout == "", name
    assert sorted(tmp_path.iterdir()) == before  # nothing half-written


EARLY = """
import sys
from click.testing import CliRunner
from edgekit.cli import main
folder, out = sys.argv[1:]
model, samples = folder + "/model.keras", folder + "/x.npy"
for arguments, words in (
    (["convert", model, "--format", "int8"], "--format int8 needs --calibration"),
    (["convert", out + "/none.keras"], "no such file"),
    (["convert", model, "--block", "32"], "--block is for --format dynamic_int4"),
    (["convert", model, "--format", "int8", "--calibration", model], "not a readable .npy"),
    (["sensitivity", model, "--calibration", out + "/none"], "none"),
    (["mixed-precision", model, "--calibration", samples], "either --max-bytes or --max-drop"),
    (["mixed-precision", model, "--calibration", samples, "--max-bytes", "9", "--labels", samples],
     "--labels is for --max-drop"),
    (["inspect", model], "is a Keras model"),
    (["inspect", samples], ".npy"),
):
    found = CliRunner().invoke(main, arguments)
    assert found.exit_code == 2, (arguments, found.output)
    assert words in found.output, found.output
    assert "tensorflow" not in sys.modules, arguments
"""


def test_what_the_options_alone_decide_is_refused_before_tensorflow_loads(folder, tmp_path):
    arguments = [sys.executable, "-c", EARLY, str(folder), str(tmp_path)]
    subprocess.run(arguments, check=True)


def test_traceback_on_request(monkeypatch):
    monkeypatch.setenv("EDGEKIT_TRACEBACK", "1")
    assert isinstance(run("inspect", "none.tflite").exception, FileNotFoundError)

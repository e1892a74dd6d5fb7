"""The quick demo as a user runs it, twice: every promise kept, the same bytes both times."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = [tmp_path_factory.mktemp("demo") / name for name in ("first", "second")]
    for folder in folders:
        command = [sys.executable, "-c", "from edgekit.cli import main; main()", "demo"]
        done = subprocess.run(
            [*command, "--quick", "--out", str(folder), "--seed", "0"],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert "baseline float32" in done.stdout
    return folders


def test_promises(runs):
    report = json.loads((runs[0] / "report.json").read_text())
    assert len(report["checks"]) == 6
    assert all(check["passed"] for check in report["checks"])
    final = report["files"][-1]
    assert {op["dtype"] for op in final["ops"]} == {"int8"}
    assert report["held_out_samples"] >= 1000


def test_same_seed_same_accuracies_and_bytes(runs):
    first, second = runs
    names = sorted(p.name for p in first.glob("*.tflite"))
    assert len(names) == 7
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes(), name
    accuracies = [
        [f["accuracy"] for f in json.loads((run / "report.json").read_text())["files"]]
        for run in runs
    ]
    assert accuracies[0] == accuracies[1]


def test_all_files_are_there(runs):
    assert {p.name for p in runs[0].iterdir()} == {
        "report.html",
        "report.json",
        "baseline.keras",
        "pruned.keras",
        "qat.keras",
        "baseline_float32.tflite",
        "pruned_float32.tflite",
        "pruned_float32_stored_sparse.tflite",
        "pruned_float16.tflite",
        "pruned_dynamic.tflite",
        "pruned_int8.tflite",
        "pruned_qat_int8.tflite",
    }

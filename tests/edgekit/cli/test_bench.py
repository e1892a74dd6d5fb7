import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from device_bench import Result
from edgekit.cli.main import main

QUICK = ("--processes", 2, "--seconds", 0.05)
RECORDED = Path(__file__).parents[2] / "device_bench" / "phone" / "recorded"


def run(*arguments):
    return CliRunner().invoke(main, ["bench", *map(str, arguments)])


@pytest.fixture(scope="module")
def folder(tmp_path_factory, files, data):
    folder = tmp_path_factory.mktemp("bench")
    for name in ("float32", "int8"):
        files[name].save(folder / f"{name}.tflite")
    np.save(folder / "x.npy", data[0])
    np.savez(folder / "labels.npz", y=data[1])
    return folder


def test_measure_keep_compare(folder, tmp_path):
    models = [folder / "float32.tflite", folder / "int8.tflite"]
    out, history, html = (tmp_path / name for name in ("b.json", "h.jsonl", "r.html"))
    labelled = ("--inputs", folder / "x.npy", "--labels", folder / "labels.npz")
    kept = ("-o", out, "--history", history, "--html", html)
    found = run(*models, *QUICK, *labelled, *kept)
    assert found.exit_code == 0, found.output
    assert "accuracy" in found.output
    result = Result.from_json(out)
    assert [m.name for m in result.measurements] == ["float32", "int8"]
    assert result["int8"].accuracy > 0.5
    assert "Time by kernel: int8" in html.read_text()
    assert len(history.read_text().splitlines()) == 1
    slower = ("--baseline", out, "--fail-if", "latency>+500%", "--fail-if", "size>+1%")
    found = run(*models, *QUICK, *slower)
    assert found.exit_code == 0, found.output
    found = run(*models, *QUICK, "--fail-if", "size>1kB")
    assert found.exit_code == 1
    assert "Failed: size>1kB: int8 has size" in found.stderr


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_interrupted_by_a_signal(folder, tmp_path, number, code):
    """What was measured is told and marked, no history, nothing is left behind."""
    out, history, place = tmp_path / "b.json", tmp_path / "h.jsonl", tmp_path / "tmp"
    keep = tmp_path / "keep.json"
    place.mkdir()
    command = [
        sys.executable, "-c", "from edgekit.cli import main; main()", "bench",
        folder / "int8.tflite", "--processes", "500", "--seconds", "0.01", "--json",
        "-o", out, "--history", history, "--fail-if", "size>1B", "--keep", keep,
    ]  # fmt: skip
    env = {**os.environ, "TMPDIR": str(place)}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    process = subprocess.Popen(
        command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr.readline() == "benchmark: begins\n"
    deadline = time.monotonic() + 60
    while not keep.exists() and time.monotonic() < deadline:  # from then on there is a result
        time.sleep(0.01)
    process.send_signal(number)
    said, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert json.loads(said)["settings"]["interrupted"] is True
    assert json.loads(out.read_text())["settings"]["interrupted"] is True
    assert "its rules were not checked" in errors
    assert not history.exists()
    assert not list(place.iterdir())


def test_several_settings_and_json(folder):
    settings = ("--kernels", "xnnpack", "--kernels", "builtin", "--batch", 1, "--batch", 2)
    found = run(folder / "int8.tflite", *QUICK, *settings, "--json")
    assert found.exit_code == 0, found.output
    report = json.loads(found.stdout)
    assert len(report["measurements"]) == 4
    assert report["settings"]["mode"] == "standard"


def test_a_folder_of_images_is_fed(folder, tmp_path):
    from PIL import Image

    for i in range(3):
        Image.new("RGB", (9, 7), (10 * i, 20, 30)).save(tmp_path / f"{i}.png")
    found = run(folder / "float32.tflite", *QUICK, "--inputs", tmp_path, "--json")
    assert found.exit_code == 0, found.output
    assert json.loads(found.stdout)["settings"]["inputs"] == "real samples"
    assert "XNNPACK" not in found.stderr


def test_other_devices(folder, tmp_path):
    found = run(folder / "int8.tflite", "--device", "mcu", "-o", tmp_path / "m.json")
    assert found.exit_code == 0, found.output
    assert json.loads((tmp_path / "m.json").read_text())["kind"] == "micro"
    found = run(folder / "int8.tflite", "--device", "ethos-u55-128", "--json")
    assert json.loads(found.stdout)["kind"] == "npu"
    found = run("--import", RECORDED / "logcat_2025.txt")
    assert found.exit_code == 0, found.output
    assert "best_int8" in found.output
    script = ("--device", "adb:ABC", "--script", tmp_path / "phone", "--processes", 3)
    found = run(folder / "int8.tflite", *script)
    assert found.exit_code == 0, found.output
    text = (tmp_path / "phone" / "run.sh").read_text()
    assert text.count("--graph=") == 3
    assert (tmp_path / "phone" / "int8.tflite").exists()


def test_profile_and_estimate(folder):
    found = run(folder / "int8.tflite", "--profile", "--kernels", "builtin")
    assert found.exit_code == 0, found.output
    assert "residual" in found.output
    found = run(folder / "int8.tflite", "--estimate", "cortex-m4")
    assert found.exit_code == 0, found.output
    assert "on paper" in found.output
    found = run(folder / "int8.tflite", "--profile", "--json")
    assert json.loads(found.stdout)["rows"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--device", "toaster"], "--device must be"),
        (["--device", "mcu", "--mode", "quick"], "--mode says nothing to device 'mcu'"),
        (["--device", "mcu", "--html", "r.html"], "are for --device host"),
        (["--device", "adb"], "adb is not installed here"),
        (["--script", "folder"], "--script is for --device adb:SERIAL"),
        (["--profile", "--mode", "quick"], "--mode has no meaning beside --profile"),
        (["--profile", "--device", "mcu"], "--device mcu says nothing to --profile"),
        (["--script", "f", "--device", "adb", "--keep", "k"], "--keep has no meaning beside"),
        (
            ["--script", "f", "--device", "adb", "--processes", "0"],
            "'--processes': 0 is not in the range",
        ),
        (["--history", "{f}/labels.npz"], "is no history"),
        (["--fail-if", "latency>+5%"], "name the --baseline"),
        (["--fail-if", "speed>1"], "is no rule"),
        (["--baseline", "{f}/x.npy"], "is no benchmark"),
        (["--labels", "{f}/labels.npz"], "--labels need --inputs"),
        (["--mode", "mlperf-tiny", "--seconds", "1"], "is fixed by the rules"),
        (["--kernels", "gpu"], "'gpu' is not one of"),
        (["-o", "{f}"], "--out: {f} is a folder"),
        (["--import", "none.txt"], "no such file"),
        (["--estimate", "z80"], "--estimate must be one of"),
    ],
)
def test_bad_input_is_one_sentence_and_exit_code_2(folder, arguments, message):
    found = run(folder / "int8.tflite", *(a.format(f=folder) for a in arguments))
    assert found.exit_code == 2, found.output
    assert message.format(f=folder) in found.stderr
    assert len(found.stderr.strip().splitlines()) == 1

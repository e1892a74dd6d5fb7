"""The README tells the truth: the demo passed, what it names exists, its code runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_demo_passed_its_checks():
    found = json.loads((ROOT / "benchmarks" / "results" / "demo.json").read_text())
    assert all(check["passed"] for check in found["checks"])


def test_every_path_it_names_exists():
    named = re.findall(r"`((?:edgekit|benchmarks|docs|notebooks|tests)/[\w./]+)`", README)
    assert named
    for path in named:
        assert (ROOT / path).exists(), path


@pytest.mark.slow
def test_its_python_runs(tmp_path):
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len(code.splitlines()) < 30
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    accuracy = float(re.search(r"accuracy ([\d.]+)", done.stdout)[1])
    assert accuracy > 0.95
    assert "float islands: none" in done.stdout
    assert (tmp_path / "digits_int8.tflite").exists()

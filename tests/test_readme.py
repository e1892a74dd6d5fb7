"""The README tells the truth: the demo passed, what it names exists, its code runs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from edgekit.cli import main

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


COMMANDS = re.findall(r"^edgekit (.*)$", README, re.MULTILINE)


def test_its_commands_are_understood(tmp_path, monkeypatch):
    """On files of these names that hold nothing, each is refused for what the file holds."""
    monkeypatch.chdir(tmp_path)
    Path("demo").mkdir()
    for name in set(re.findall(r"demo/\w+\.(?:tflite|keras|ekz)", README)):
        Path(name).write_bytes(b"nothing")
    Path("demo/digits.tflite").unlink()  # the last command makes it
    assert len(COMMANDS) == 7
    for line in COMMANDS:
        found = CliRunner().invoke(main, line.split())
        assert found.exit_code == 2
        assert re.search("is not an?|not an? |expected a whole", found.stderr), (line, found.stderr)
        assert "option" not in found.stderr, (line, found.stderr)


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

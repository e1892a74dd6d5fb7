"""Temporary folders go, however the process that made them ends."""

import os
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from converters import temporary
from converters.temporary import TemporaryFolder, sweep, temporary_folder


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


def made_elsewhere(place, then: str) -> subprocess.Popen:
    script = f"""
import time
from converters.temporary import TemporaryFolder
folder = TemporaryFolder("test")
print(folder.path, flush=True)
{then}
"""
    env = {**os.environ, "TMPDIR": str(place)}
    env["PYTHONPATH"] = os.pathsep.join(p for p in sys.path if p)
    child = subprocess.Popen([sys.executable, "-c", script], env=env, stdout=subprocess.PIPE)
    child.path = place / child.stdout.readline().decode().strip()
    return child


def test_it_goes_with_its_block(place):
    def interrupted():
        with temporary_folder("test") as folder:
            assert folder.name.startswith("edgekit-test-")
            (folder / "in it").write_text("x")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not list(place.iterdir())


def test_what_a_killed_process_left_is_swept(place):
    child = made_elsewhere(place, "time.sleep(60)")
    sweep(place)
    assert child.path.exists()  # its process lives
    child.send_signal(signal.SIGKILL)
    child.communicate()
    assert child.path.exists()
    temporary._swept.discard(place)
    other = TemporaryFolder("other")  # the next one to be made
    assert not child.path.exists()
    assert other.path.exists()
    other.remove()
    assert not list(place.iterdir())


def test_it_goes_with_a_process_that_forgot_it(place):
    child = made_elsewhere(place, "")
    assert child.wait(60) == 0
    assert not child.path.exists()


def test_others_are_left_alone(place):
    (place / "edgekit-mine").mkdir()  # not of this kind of name
    (place / "edgekit-new-1").mkdir()  # in the making
    (place / "edgekit-old-1").mkdir()
    os.utime(place / "edgekit-old-1", (0, time.time() - 7200))
    (place / "edgekit-file-1").write_text("")
    (place / "kept").mkdir()
    os.symlink(place / "kept", place / "edgekit-link-1")
    sweep(place)
    assert {p.name for p in place.iterdir()} == {
        "edgekit-mine", "edgekit-new-1", "edgekit-file-1", "edgekit-link-1", "kept",
    }  # fmt: skip

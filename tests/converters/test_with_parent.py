"""Children end with the process that started them, by whatever signal it ends."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from converters.child import Child, run_module

ENV = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}


def alive(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def gone(pids, seconds=20) -> bool:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not any(map(alive, pids)):
            return True
        time.sleep(0.05)
    return False


def parent(script: str, tmp_path) -> subprocess.Popen:
    env = {**ENV, "TMPDIR": str(tmp_path)}
    return subprocess.Popen(
        [sys.executable, "-c", script], env=env, stdout=subprocess.PIPE, text=True
    )


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_child_ends_with_its_parent(number, tmp_path):
    process = parent(
        "from converters.child import Child\n"
        "child = Child('timeit', '-n', '1', '-r', '1', 'import time; time.sleep(600)')\n"
        "print(child.pid, flush=True)\n"
        "child.wait()\n",
        tmp_path,
    )
    child = int(process.stdout.readline())
    assert alive(child)
    process.send_signal(number)
    process.communicate()
    assert gone([child])


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_job_of_a_server_ends_with_its_parent(tmp_path):
    (tmp_path / "slow_jobs.py").write_text(
        "import time\n"
        "from converters.forked_jobs import serve\n"
        "def run(folder):\n"
        "    (folder / 'begun').touch()\n"
        "    time.sleep(600)\n"
        "serve(run)\n"
    )
    process = parent(
        "import sys, os\n"
        f"os.environ['PYTHONPATH'] += os.pathsep + {str(tmp_path)!r}\n"
        "from converters.fork_server import ForkServer\n"
        "from converters.temporary import temporary_folder\n"
        "with temporary_folder('jobs') as folder, ForkServer('slow_jobs').server() as server:\n"
        "    print(server.child.pid, folder, flush=True)\n"
        "    server.run({'folder': str(folder)})\n",
        tmp_path,
    )
    server, folder = process.stdout.readline().split()
    end = time.monotonic() + 30
    while not os.path.exists(f"{folder}/begun") and time.monotonic() < end:
        time.sleep(0.05)
    with open(f"/proc/{server}/task/{server}/children") as file:
        (fork,) = map(int, file.read().split())
    assert alive(fork)
    process.kill()
    process.communicate()
    assert gone([int(server), fork])


def test_the_end_of_a_thread_ends_no_child():
    found = []
    thread = threading.Thread(
        target=lambda: found.append(Child("timeit", "-n", "1", "-r", "1", "input()"))
    )
    thread.start()
    thread.join()
    (child,) = found
    with child:
        time.sleep(0.5)
        child.tell("go on")
        assert "1 loop" in child.wait(30)


def test_what_a_killed_child_leaves_goes_with_it():
    with Child(
        "timeit", "-n", "1", "-r", "1", "import tempfile; print(tempfile.mkdtemp()); input()"
    ) as child:
        left = child.hear().strip()
        assert os.path.exists(left)
    assert not os.path.exists(left)


def test_a_module_has_its_own_arguments():
    assert "1 loop, best of 1" in run_module("timeit", "-n", "1", "-r", "1", "pass")

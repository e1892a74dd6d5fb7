"""Jobs in forks of a real process, with a module of the test's own."""

import json
import os
import signal
import threading
import time

import pytest

from converters.child import ChildError
from converters.fork_server import ForkServer

MODULE = """
import json, os, sys, time
from converters.forked_jobs import serve

print("a library talks while it is loaded", end="")

def run(folder, **job):
    print("job", job, sys.stdin.read())
    if "exit" in job:
        os._exit(job["exit"])
    if "signal" in job:
        os.kill(os.getpid(), job["signal"])
    if "fail" in job:
        raise ValueError("the reason")
    (folder / "begun").touch()
    time.sleep(job.get("sleep", 0))
    (folder / "done.json").write_text(json.dumps([os.getpid(), os.getppid()]))

serve(run)
"""


@pytest.fixture
def fork_server(tmp_path, monkeypatch):
    (tmp_path / "forking_module.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    found = ForkServer("forking_module")
    yield found
    found.close()


def processes(folder):
    return json.loads((folder / "done.json").read_text())


def test_each_job_has_a_fork_of_one_server(fork_server, tmp_path):
    found = []
    for _ in range(2):
        assert fork_server.run({"folder": str(tmp_path)}) == 0
        found.append(processes(tmp_path))
    (first, server), (second, same) = found
    assert first != second
    assert server == same
    assert "job {}" in (tmp_path / "output").read_text()


def test_how_a_job_ended(fork_server, tmp_path):
    job = {"folder": str(tmp_path)}
    assert fork_server.run(job | {"exit": 3}) == 3
    assert fork_server.run(job | {"signal": signal.SIGSEGV}) == -signal.SIGSEGV
    assert fork_server.run(job | {"fail": True}) == 1
    assert "ValueError: the reason" in (tmp_path / "output").read_text()
    assert fork_server.run(job) == 0


def test_jobs_at_the_same_time_have_servers_of_their_own(fork_server, tmp_path):
    folders = [tmp_path / name for name in "ab"]
    threads = []
    for folder in folders:
        folder.mkdir()
        job = {"folder": str(folder), "sleep": 1}
        threads.append(threading.Thread(target=fork_server.run, args=(job,)))
        threads[-1].start()
    for thread in threads:
        thread.join()
    assert processes(folders[0])[1] != processes(folders[1])[1]


def test_a_server_that_was_killed_is_started_again(fork_server, tmp_path):
    with fork_server.server() as server:
        pass
    os.kill(server.child.pid, signal.SIGKILL)
    assert fork_server.run({"folder": str(tmp_path)}) == 0


def test_an_interrupted_job_ends_at_once(fork_server, tmp_path):
    def interrupt():
        if (tmp_path / "begun").exists():
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), fork_server.server() as server:
        server.run({"folder": str(tmp_path), "sleep": 2}, interrupt)
    time.sleep(2.5)
    assert not (tmp_path / "done.json").exists()
    assert fork_server.run({"folder": str(tmp_path)}) == 0


def test_work_beside_a_job(fork_server, tmp_path):
    def beside():
        while not (tmp_path / "begun").exists():
            time.sleep(0.01)
        raise ValueError("the reason")

    with fork_server.server() as server:
        before = server.child.pid
        with pytest.raises(ValueError, match="the reason"):
            server.run({"folder": str(tmp_path), "sleep": 60}, beside=beside)
        said = []
        assert server.run({"folder": str(tmp_path)}, beside=lambda: said.append("done")) == 0
    assert said == ["done"]
    assert server.child.pid == before  # a job that was ended leaves the server as it is


def test_a_fork_of_this_process_has_servers_of_its_own(fork_server, tmp_path):
    fork_server.run({"folder": str(tmp_path)})
    server = processes(tmp_path)[1]
    if (fork := os.fork()) == 0:
        code = 1
        try:
            fork_server.run({"folder": str(tmp_path)})
            fork_server.close()
            code = int(processes(tmp_path)[1] == server)
        finally:
            os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(fork, 0)[1]) == 0
    fork_server.run({"folder": str(tmp_path)})
    assert processes(tmp_path)[1] == server


def test_why_a_server_does_not_start(fork_server, tmp_path):
    (tmp_path / "forking_module.py").write_text("print('first')\nimport not_installed")
    with pytest.raises(ChildError, match="^ModuleNotFoundError: No module named") as caught:
        fork_server.run({"folder": str(tmp_path)})
    assert caught.value.output.startswith("first\n")


def test_with_many_open_files_and_without_the_signal_of_ending_children(fork_server, tmp_path):
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    files = [os.open(os.devnull, os.O_RDONLY) for _ in range(1100)]
    try:
        with fork_server.server() as server:
            signal.signal(signal.SIGCHLD, before)
            assert server.run({"folder": str(tmp_path)}, lambda: None) == 0
    finally:
        for file in files:
            os.close(file)
        signal.signal(signal.SIGCHLD, before)

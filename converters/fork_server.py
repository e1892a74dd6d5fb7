"""Having jobs done by a process that waits for them with its libraries loaded."""

import atexit
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock

from converters.child import Child, ChildError
from converters.forked_jobs import MARK


class ForkServer:
    """`python -m module arguments…`, which ends in `converters.forked_jobs.serve`.

    It is started with the first job and waits for the next ones until this process ends: its
    libraries take seconds to load, a fork of it has them at once. A job that crashes takes its
    fork along and nothing else. Where jobs are done at the same time, there are several servers.

    Args:
        module: Dotted name of the module.
        *arguments: Its command line.
    """

    def __init__(self, module: str, *arguments: str):
        self._command = (module, *arguments)
        self._lock = Lock()
        self._idle: list[_Server] = []
        self._owner = os.getpid()
        atexit.register(self.close)

    @contextmanager
    def server(self) -> Iterator["_Server"]:
        """A server of one's own, which loads its libraries while the job is being written."""
        server = self._take()
        try:
            yield server
        finally:
            if server.is_waiting:
                with self._lock:
                    self._idle.append(server)
            else:
                server.close()

    def run(self, job: dict) -> int:
        """As `_Server.run`."""
        with self.server() as server:
            return server.run(job)

    def close(self) -> None:
        """End the servers that wait."""
        with self._lock:
            while self._idle and self._owner == os.getpid():
                self._idle.pop().close()

    def _take(self) -> "_Server":
        with self._lock:
            if self._owner != os.getpid():  # a fork of this process must not share its servers
                self._idle, self._owner = [], os.getpid()
            return self._idle.pop() if self._idle else _Server(self._command)


class _Server:
    def __init__(self, command: tuple[str, ...]):
        self._command = command
        self.child = Child(*command)
        self.is_waiting = True

    def run(self, job: dict, watch: Callable[[], None] | None = None) -> int:
        """Do a job and return its exit code, or minus the number of the signal that killed it.

        Args:
            job: Its `folder`, and what else the module's job needs.
            watch: Called a few times a second meanwhile. Defaults to nothing.

        Raises:
            ChildError: The server itself failed.
        """
        self.is_waiting = False
        try:
            fork = self._begin(job)
        except ChildError:  # somebody killed it while it waited
            self.close()
            self.child = Child(*self._command)
            fork = self._begin(job)
        try:
            status = self._hear(watch)
        except BaseException:  # interrupted: nobody waits for the job any more
            with contextlib.suppress(ProcessLookupError):
                os.kill(fork, signal.SIGKILL)
            raise
        self.is_waiting = True
        return status

    def close(self) -> None:
        self.child.__exit__()

    def _begin(self, job: dict) -> int:
        self.child.tell(json.dumps(job))
        return self._hear()

    def _hear(self, watch: Callable[[], None] | None = None) -> int:
        """The next answer; libraries have words of their own while they are loaded."""
        while not (line := self.child.hear(watch)).startswith(MARK):
            pass
        return int(line.removeprefix(MARK))

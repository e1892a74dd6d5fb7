"""Having jobs done by a process that waits for them with its libraries loaded."""

import atexit
import contextlib
import json
import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
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
        self._idle: list[Server] = []
        atexit.register(self.close)
        os.register_at_fork(after_in_child=self._forget)

    @contextmanager
    def server(self) -> Iterator["Server"]:
        """A server of one's own, which loads its libraries while the job is being written."""
        server = self._take()
        try:
            yield server
        finally:
            if server.is_waiting:
                with self._lock:
                    self._idle.append(server)
            else:
                server.child.end()

    def run(self, job: dict) -> int:
        """As `Server.run`."""
        with self.server() as server:
            return server.run(job)

    def close(self) -> None:
        """End the servers that wait."""
        with self._lock:
            while self._idle:
                self._idle.pop().child.end()

    def _take(self) -> "Server":
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return Server(self._command)

    def _forget(self) -> None:
        """In a fork of this process: servers are its parent's, and its own lock is free."""
        self._lock = Lock()
        while self._idle:
            self._idle.pop().child.let_go()


class Server:
    """One process of a `ForkServer`, for one job at a time."""

    def __init__(self, command: tuple[str, ...]):
        self._command = command
        self.child = Child(*command)
        self.is_waiting = True

    def run(
        self,
        job: dict,
        watch: Callable[[], None] | None = None,
        beside: Callable[[], None] | None = None,
    ) -> int:
        """Do a job and return its exit code, or minus the number of the signal that killed it.

        Args:
            job: Its `folder`, and what else the module's job needs.
            watch: Called a few times a second meanwhile. Defaults to nothing.
            beside: Called once the job has begun, work of this process's own; what it raises ends
                the job. Defaults to nothing.

        Raises:
            ChildError: The server itself failed.
        """
        self.is_waiting = False
        (Path(job["folder"]) / "output").touch()  # a fork may die before it opens it
        try:
            fork = self._begin(job)
        except ChildError:  # somebody killed it while it waited
            self.child.end()
            self.child = Child(*self._command)
            fork = self._begin(job)
        try:
            if beside is not None:
                beside()
            status = self._hear("ended", watch)
        except BaseException as error:  # failed or interrupted: nobody waits for the job any more
            with contextlib.suppress(ProcessLookupError):
                os.kill(fork, signal.SIGKILL)
            if isinstance(error, Exception) and not isinstance(error, ChildError):
                self._hear("ended")
                self.is_waiting = True
            raise
        self.is_waiting = True
        return status

    def _begin(self, job: dict) -> int:
        """The number of the fork that does the job."""
        self.child.tell(json.dumps(job))
        return self._hear("begun")

    def _hear(self, what: str, watch: Callable[[], None] | None = None) -> int:
        """The number in an answer; libraries have words of their own while they are loaded."""
        said, mark = "", f"{MARK} {what} "
        try:
            while not (line := self.child.hear(watch)).startswith(mark):
                said += line
        except ChildError as error:
            raise self.child.failure(said + error.output) from None
        return int(line.removeprefix(mark))

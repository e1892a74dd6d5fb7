"""Running Python in a process of its own, so that native code may crash there.

It ends with this process, however this one ends.
"""

import contextlib
import os
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

from converters.temporary import TemporaryFolder

_PROJECT = Path(__file__).resolve().parent.parent
_TICK = 0.2


class ChildError(RuntimeError):
    """The child process failed; `output` is what it printed."""

    def __init__(self, reason: str, output: str):
        super().__init__(reason)
        self.output = output


def run_module(module: str, *arguments: str, timeout: float | None = None) -> str:
    """Run `python -m module arguments…` and return what it printed.

    Args:
        module: Dotted name of the module.
        *arguments: Its command line.
        timeout: Seconds after which it is killed. Defaults to `None`: never.

    Raises:
        ChildError: It exited with an error, was killed by a signal or took too long; the text
            says which.
    """
    with Child(module, *arguments) as child:
        return child.wait(timeout)


class Child:
    """`python -m module arguments…`, started; leaving its `with` block kills it if it still runs.

    Args:
        module: Dotted name of the module.
        *arguments: Its command line.
        environment: Variables that it has beside those of this process. Defaults to none.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None):
        paths = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
        self._place = TemporaryFolder("child")  # TensorFlow leaves files where it is killed
        self._heard = b""  # and not yet given to anyone
        self._process = _started(
            [sys.executable, "-m", "converters.with_parent", str(os.getpid()), module, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.PIPE,
            text=True,
            errors="replace",
            env={
                **os.environ,
                "TMPDIR": str(self._place.path),
                "PYTHONPATH": os.pathsep.join(p for p in paths if p),
                **(environment or {}),
            },
        )

    @property
    def pid(self) -> int:
        """Number of its process."""
        return self._process.pid

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def end(self) -> None:
        """Kill it if it still runs."""
        if self._process.poll() is None:
            self._process.kill()
        self.let_go()
        self._process.wait()
        self._place.remove()

    def let_go(self) -> None:
        """Close the pipes to it."""
        for pipe in (self._process.stdin, self._process.stdout):
            with contextlib.suppress(OSError):
                pipe.close()

    def tell(self, line: str) -> None:
        """Write a line to its standard input; one that has ended says why in `wait`."""
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(f"{line}\n")
            self._process.stdin.flush()

    def hear(self, watch: Callable[[], None] | None = None) -> str:
        """The next line it prints.

        Args:
            watch: Called a few times a second meanwhile. Defaults to nothing.

        Raises:
            ChildError: It ended instead.
        """
        pipe = self._process.stdout.fileno()
        while b"\n" not in self._heard:
            while watch is not None and not _has_something(pipe):
                watch()
            part = os.read(pipe, 1 << 16)
            if not part:
                raise self.failure(self.wait())
            self._heard += part
        line, _, self._heard = self._heard.partition(b"\n")
        return f"{line.decode(errors='replace')}\n"

    def wait(self, timeout: float | None = None) -> str:
        """What it printed, once it has ended.

        Args:
            timeout: Seconds after which it is killed. Defaults to `None`: never.

        Raises:
            ChildError: As in `run_module`.
        """
        try:
            rest = self._process.communicate(timeout=timeout)[0]
        except subprocess.TimeoutExpired as error:
            output = _text(error.output)
            raise ChildError(f"no answer after {timeout:.0f} s", output) from None
        output = _text(self._heard) + rest
        if self._process.returncode:
            raise self.failure(output)
        return output

    def failure(self, output: str) -> ChildError:
        """Why it ended that printed `output`."""
        reason = why_it_failed(self._process.returncode, output)
        return ChildError(reason or "the process ended without a word", output)


def _started(command: list[str], **options) -> subprocess.Popen:
    """The process, started by a thread that lives as long as this process.

    The kernel ends a child with the thread that started it.
    """
    if threading.current_thread() is threading.main_thread():
        return subprocess.Popen(command, **options)
    return _starter().submit(subprocess.Popen, command, **options).result()


@cache
def _starter() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(1, "edgekit-starter")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_starter.cache_clear)  # a fork has none of its threads


def _has_something(pipe: int) -> bool:
    """Whether it can be read from within a tick."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN)
    return bool(poll.poll(1000 * _TICK))


def why_it_failed(code: int, output: str) -> str | None:
    """Why a process failed that printed `output`; None if it did not.

    Args:
        code: Its exit code, or minus the number of the signal that killed it.
        output: What it printed.
    """
    if code < 0:
        return f"the process crashed with {signal.Signals(-code).name}"
    return _last_line(output) if code else None


def _text(output: bytes | str | None) -> str:
    return output.decode(errors="replace") if isinstance(output, bytes) else output or ""


def _last_line(output: str) -> str:
    """The exception's own line in a traceback: the last one that is not indented."""
    lines = [line for line in output.splitlines() if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith("Traceback"):
            own = [line for line in lines[index + 1 :] if not line.startswith(" ")]
            return own[0] if own else lines[-1]
    return lines[-1] if lines else "the process ended without a word"

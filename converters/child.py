"""Running Python in a process of its own, so that native code may crash there."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent
_TICK = 0.2


class ChildError(RuntimeError):
    """The child process failed; `output` is what it printed."""

    def __init__(self, reason: str, output: str):
        super().__init__(reason)
        self.output = output


def run_module(
    module: str,
    *arguments: str,
    timeout: float | None = None,
    watch: Callable[[], None] | None = None,
) -> str:
    """Run `python -m module arguments…` and return what it printed.

    Args:
        module: Dotted name of the module.
        *arguments: Its command line.
        timeout: Seconds after which it is killed. Defaults to `None`: never.
        watch: Called a few times a second while it runs. Defaults to `None`.

    Raises:
        ChildError: It exited with an error, was killed by a signal or took too long; the text
            says which.
    """
    paths = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)},
    )
    with process:
        try:
            output = _wait(process, timeout, watch)
        except BaseException:  # an interrupted caller leaves no child behind
            process.kill()
            raise
    if process.returncode < 0:
        name = signal.Signals(-process.returncode).name
        raise ChildError(f"the process crashed with {name}", output)
    if process.returncode:
        raise ChildError(_last_line(output), output)
    return output


def _wait(process: subprocess.Popen, timeout: float | None, watch) -> str:
    start = time.monotonic()
    while True:
        try:
            return process.communicate(timeout=_TICK)[0]
        except subprocess.TimeoutExpired as error:
            if timeout is not None and time.monotonic() - start > timeout:
                said = error.output or b""
                said = said if isinstance(said, str) else said.decode(errors="replace")
                raise ChildError(f"no answer after {timeout:.0f} s", said) from None
        if watch is not None:
            watch()


def _last_line(output: str) -> str:
    """The exception's own line in a traceback: the last one that is not indented."""
    lines = [line for line in output.splitlines() if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith("Traceback"):
            own = [line for line in lines[index + 1 :] if not line.startswith(" ")]
            return own[0] if own else lines[-1]
    return lines[-1] if lines else "the process ended without a word"

"""Running Python in a process of its own, so that native code may crash there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

_PROJECT = Path(__file__).resolve().parent.parent


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
    paths = [str(_PROJECT), os.environ.get("PYTHONPATH", "")]
    try:
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            text=True,
            errors="replace",
            timeout=timeout,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(p for p in paths if p)},
        )
    except subprocess.TimeoutExpired as error:
        raise ChildError(f"no answer after {timeout:.0f} s", str(error.output)) from None
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        raise ChildError(f"the process crashed with {name}", done.stdout)
    if done.returncode:
        raise ChildError(_last_line(done.stdout), done.stdout)
    return done.stdout


def _last_line(output: str) -> str:
    """The exception's own line in a traceback: the last one that is not indented."""
    lines = [line for line in output.splitlines() if line.strip()]
    for index in range(len(lines) - 1, -1, -1):
        if lines[index].startswith("Traceback"):
            own = [line for line in lines[index + 1 :] if not line.startswith(" ")]
            return own[0] if own else lines[-1]
    return lines[-1] if lines else "the process ended without a word"

"""The channel on which a process answers the one that started it."""

import os
import sys
from pathlib import Path


def answer(line: str) -> None:
    """Write a message on standard output as a line of its own, whole, whatever was printed before.

    For a process that answers once; what its libraries print stands around it.
    """
    sys.stdout.flush()
    _write(1, f"\n{line}\n".encode())


class Messages:
    """What this process says on its standard output, which from now on nothing else writes to.

    Native libraries print in the midst of a line, and a `print` writes a line and its end apart.
    Here each message is a line of its own, written whole; all else that is printed goes to a file.

    Example:
        >>> messages = Messages(folder / "output")
        >>> messages.say("@edgekit done")

    Args:
        rest: The file that takes what else is printed. Defaults to `None`: nobody reads it.
    """

    def __init__(self, rest: Path | None = None):
        self._channel = os.dup(1)
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        other = os.open(os.devnull if rest is None else rest, flags, 0o600)
        for stream in (1, 2):
            os.dup2(other, stream)
        os.close(other)
        _write(self._channel, b"\n")  # what was said while loading may not have ended its line

    def say(self, line: str) -> None:
        """Write one message, without line breaks in it."""
        _write(self._channel, f"{line}\n".encode())


def _write(channel: int, content: bytes) -> None:
    while content:
        content = content[os.write(channel, content) :]

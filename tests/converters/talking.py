"""A process that talks, for tests: `python -m tests.converters.talking HOW`."""

import os
import sys
import tempfile
from pathlib import Path

from converters.messages import Messages, answer

LINES = 4000


def main(how: str) -> None:
    """Say something in one of several ways."""
    if how == "apart":  # as print does it
        for number in range(LINES):
            os.write(1, f"message {number}".encode())
            os.write(1, b"\n")
    elif how == "amid":
        with tempfile.TemporaryDirectory() as folder:
            sys.stdout.write("loaded, no end of line")
            sys.stdout.flush()
            messages = Messages(Path(folder) / "output")
            os.write(1, b"native noise without an end")
            print("printed", flush=True)
            messages.say("first")
            os.write(2, b"more noise")
            messages.say("second " + "x" * 200_000)
            messages.say((Path(folder) / "output").read_text().replace("\n", "|"))
    elif how == "once":
        print("buffered", end="")
        answer("{}")
        os.write(1, b"INFO: at the end")


if __name__ == "__main__":
    main(sys.argv[1])

"""A process that has its libraries loaded and does jobs for another, each in a fork of its own.

Reads one job a line, as JSON with its `folder`; answers with a line that has the fork's process
number once it has begun, and one with how it ended: its exit code, or minus the number of the
signal that killed it. What a job prints goes to `output` in its folder.
"""

import json
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from converters.messages import Messages
from converters.with_parent import end_with_parent

MARK = "edgekit-fork"


def serve(run: Callable[..., None]) -> None:
    """Do jobs until there are no more.

    Args:
        run: Called in the fork with the job's folder, and what else the job says by name.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # else forks end without a code
    messages = Messages()
    for line in sys.stdin:
        job = json.loads(line)
        server, fork = os.getpid(), os.fork()
        if fork == 0:
            end_with_parent(server)
            _do(run, **job)
        messages.say(f"{MARK} begun {fork}")
        _, status = os.waitpid(fork, 0)
        messages.say(f"{MARK} ended {os.waitstatus_to_exitcode(status)}")


def _do(run: Callable[..., None], folder: str, **job) -> None:
    """Do one job, and end this process."""
    code = 1
    try:
        output = os.open(Path(folder) / "output", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)  # jobs to come are not its own
        os.dup2(output, 1)
        os.dup2(output, 2)
        run(Path(folder), **job)
        code = 0
    except BaseException:  # of any kind: the fork must not go on as its parent does
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

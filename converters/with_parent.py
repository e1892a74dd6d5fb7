"""A process that ends with the one that started it: `python -m converters.with_parent MODULE …`.

Runs a module as `python -m MODULE …` does. A parent that is killed cannot end its children: here
the kernel does it on Linux, and elsewhere a thread that looks for the parent.
"""

import ctypes
import os
import runpy
import signal
import sys
import threading
import time

# Linux's number for "send me a signal when my parent ends".
_PR_SET_PDEATHSIG = 1
_TICK = 0.5


def end_with_parent(parent: int) -> None:
    """Let this process be killed when its parent ends.

    Args:
        parent: The parent's process number; if it is another by now, this process ends at once.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    else:
        threading.Thread(target=_look_for, args=(parent,), daemon=True).start()
    if os.getppid() != parent:  # it ended before it could be heard of
        os._exit(1)


def _look_for(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(_TICK)
    os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    end_with_parent(int(sys.argv[1]))
    sys.argv = sys.argv[2:]
    # A module finds its own folder first on the path, not that of this one.
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)

"""Loading TensorFlow without its start-up notes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet_start_up() -> Iterator[None]:
    """Hides what native code writes to standard error in the block; Python's errors still rise.

    TensorFlow's notes on CUDA and oneDNN come before its own log level is in force, and are no
    news to who runs a command.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)

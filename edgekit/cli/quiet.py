"""Loading TensorFlow without its start-up notes."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from converters.native_notes import native_notes_hidden


@contextmanager
def quiet_start_up() -> Iterator[None]:
    """Hides what native code writes to standard error in the block; Python's errors still rise.

    TensorFlow's notes on CUDA and oneDNN come before its own log level is in force, and are no
    news to whoever runs a command.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with native_notes_hidden():
        yield

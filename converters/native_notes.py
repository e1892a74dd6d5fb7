"""Keeping notes of native code off standard error."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_lock = threading.Lock()
_depth, _kept = 0, -1


@contextmanager
def native_notes_hidden() -> Iterator[None]:
    """Hides what native code writes to standard error in the block; Python's errors still rise.

    LiteRT says on each start that it made a delegate, which is no news to whoever runs a model.
    """
    global _depth, _kept
    with _lock:
        if _depth == 0:
            _kept = _redirected()
        _depth += 1
    try:
        yield
    finally:
        with _lock:
            _depth -= 1
            if _depth == 0 and _kept >= 0:
                os.dup2(_kept, 2)
                os.close(_kept)


def _redirected() -> int:
    """What standard error was, or -1 where there is none."""
    try:
        kept = os.dup(2)
    except OSError:
        return -1
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    os.close(nowhere)
    return kept

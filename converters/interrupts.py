"""Holding Ctrl-C back while a message must not be lost."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Interrupts:
    """What came of Ctrl-C within `interrupts_held`.

    Attributes:
        count: How often it came.
    """

    def __init__(self):
        self.count = 0

    def check(self) -> None:
        """Raise what was held back, where it is safe.

        Raises:
            KeyboardInterrupt: Ctrl-C came.
        """
        if self.count:
            raise KeyboardInterrupt


@contextmanager
def interrupts_held() -> Iterator[Interrupts]:
    """Within it Ctrl-C is counted, and raised at the end.

    A `KeyboardInterrupt` may strike between any two steps of Python: behind a read whose bytes have
    not yet been kept, which are lost then. Only the main thread is interrupted: elsewhere, and
    where Ctrl-C is ignored, nothing changes.

    Example:
        >>> with interrupts_held() as interrupts:
        ...     message = child.hear(watch=interrupts.check)

    Raises:
        KeyboardInterrupt: At the end, where Ctrl-C came, whatever else was raised.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return
    before = signal.getsignal(signal.SIGINT)
    if before in (signal.SIG_IGN, signal.SIG_DFL, None):
        yield interrupts
        return

    def count(*_):
        interrupts.count += 1

    signal.signal(signal.SIGINT, count)
    try:
        yield interrupts
    finally:
        signal.signal(signal.SIGINT, before)
        if interrupts.count:
            before(signal.SIGINT, None)

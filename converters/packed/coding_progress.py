"""How much has been coded, told while the coding goes on: without numba it takes minutes."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_PIECE = 2048
_TELL: ContextVar[Callable[[int], None] | None] = ContextVar("tell", default=None)


@contextmanager
def telling(tell: Callable[[int], None]) -> Iterator[None]:
    """Within it `tell` is called with so many numbers that have been coded since the last call."""
    before = _TELL.set(tell)
    try:
        yield
    finally:
        _TELL.reset(before)


def pieces(size: int) -> Iterator[tuple[int, int]]:
    """Where the pieces of so many numbers begin and end; each is told once it is done."""
    tell = _TELL.get()
    for start in range(0, size, _PIECE):
        end = min(start + _PIECE, size)
        yield start, end
        if tell is not None:
            tell(end - start)


class CodingProgress:
    """Hands on what is coded, where one knows about how much there will be.

    Args:
        expected: How many numbers.
        on_progress: Called with those done and those expected; None for nobody.
    """

    def __init__(self, expected: int, on_progress: Callable[[int, int], None] | None):
        self._done, self._expected, self._on_progress = 0, max(expected, 1), on_progress
        self(0)

    def __call__(self, count: int) -> None:
        self._done += count
        if self._on_progress:
            self._on_progress(min(self._done, self._expected - 1), self._expected)

    def end(self) -> None:
        """Say that all is done."""
        if self._on_progress:
            self._on_progress(self._expected, self._expected)

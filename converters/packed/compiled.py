"""Loops over bits, compiled by numba where it is installed and run as they are where not."""

from collections.abc import Callable

try:
    from numba import njit
except ImportError:
    njit = None

FAST = njit is not None


def compiled(function: Callable) -> Callable:
    """The function as machine code, kept between runs; itself without numba (extra `pack`).

    It takes numbers and NumPy arrays, and reads an array's element by `int(...)`: so it computes
    the same in both cases.
    """
    return njit(cache=True)(function) if FAST else function

"""Shapes in which sizes may be open."""

from collections.abc import Sequence


def alike(one: Sequence[int | None], other: Sequence[int | None]) -> bool:
    """Whether two shapes can be one.

    Example:
        >>> alike((None, 8), (4, 8)), alike((4, 8), (5, 8)), alike((4,), (4, 1))
        (True, False, False)
    """
    pairs = zip(one, other, strict=False)
    return len(one) == len(other) and all(a == b or None in (a, b) for a, b in pairs)

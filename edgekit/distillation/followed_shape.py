"""The shape that values are brought to, where they have become fewer."""

from collections.abc import Sequence
from math import prod

Sizes = Sequence[int | None]


def followed_shape(target: Sequence[int], before: Sizes, now: Sizes) -> tuple[int, ...]:
    """A target shape with as many channels, its last size, as are left.

    Example:
        >>> followed_shape((-1, 64), before=(8, 8, 64), now=(8, 8, 32))
        (-1, 32)

    Args:
        target: Sizes of one sample; one may be -1, which is what remains.
        before: Sizes of a sample that had this target.
        now: Those of the narrower one.

    Raises:
        ValueError: No last size fits, or sizes are open and it cannot be known.
    """
    target = tuple(target)
    if tuple(before) == tuple(now) or target[-1:] in ((), (-1,)):
        return target
    if before[-1] == target[-1]:  # the channels stay channels
        return (*target[:-1], now[-1])
    if None in (*before, *now):
        raise ValueError(f"samples of open shape {tuple(now)} are brought to {target}")
    whole = [prod(before) // -prod(target) if size == -1 else size for size in target]
    others = prod(whole[:-1])
    if prod(now) % others:
        raise ValueError(f"{prod(now)} values have no shape like {tuple(whole)}")
    return (*target[:-1], prod(now) // others)

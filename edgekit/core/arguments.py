"""Numbers among arguments: `True` is none, though Python counts it as 1."""

from numbers import Integral, Real


def is_whole(value: object) -> bool:
    """Whether it is a whole number, Python's or NumPy's."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Whether it is a number, Python's or NumPy's; NaN and infinity are."""
    return isinstance(value, Real) and not isinstance(value, bool)


def check_whole(name: str, value: int, least: int = 1) -> None:
    """Refuse what is no whole number of `least` or more.

    Args:
        name: What the user calls it.
        value: What was given.
        least: The smallest that will do. Defaults to `1`.

    Raises:
        ValueError: It is none.
    """
    if not is_whole(value) or value < least:
        raise ValueError(f"`{name}` must be a whole number ≥ {least}. Received: {name}={value!r}")

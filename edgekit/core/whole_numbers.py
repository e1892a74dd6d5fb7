"""Arguments that count something."""

from numbers import Integral


def check_whole(name: str, value: int) -> None:
    """Refuse what is no whole number of 1 or more.

    Raises:
        ValueError: It is none.
    """
    if isinstance(value, bool) or not isinstance(value, Integral) or value < 1:
        raise ValueError(f"`{name}` must be a whole number ≥ 1. Received: {name}={value!r}")

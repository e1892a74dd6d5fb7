"""Positions in a fit: fractions of it (floats) or optimizer steps (ints)."""

from edgekit.core.arguments import is_number, is_whole


def check_position(name: str, value: float | int) -> None:
    """Refuse what is neither a fraction of the fit (float) nor a step (int)."""
    if not is_number(value):
        raise TypeError(
            f"`{name}` must be a float (fraction of the fit) or an int (step). "
            f"Received: {name}={value!r}"
        )
    if not is_whole(value) and not 0 <= value <= 1:
        raise ValueError(
            f"`{name}` as a float is a fraction of the fit, from 0.0 to 1.0; give a step as an "
            f"int. Received: {name}={value}"
        )
    if value < 0:
        raise ValueError(f"`{name}` must not be negative. Received: {name}={value}")


def to_step(name: str, value: float | int, total_steps: int | None) -> int:
    """The step that a position means in a fit of `total_steps` (None when not known)."""
    if is_whole(value):
        return int(value)
    if total_steps is None:
        raise ValueError(
            f"`{name}`={value} is a fraction of the fit, but the length of this fit is unknown: "
            "pass `steps_per_epoch` to `fit` (`steps` to ek.custom_loop), or give steps (ints)"
        )
    return min(round(value * total_steps), total_steps - 1)

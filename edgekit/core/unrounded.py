"""What stood in place of a tensor before it was rounded to an integer grid."""

from typing import Any

import keras


def keep_unrounded(rounded: Any, values: Any) -> Any:
    """The rounded tensor, which remembers the values it comes from; Keras keeps masks so.

    Example:
        >>> y = keep_unrounded(ops.round(x), x)
        >>> unrounded(y) is x
        True

    Args:
        rounded: A tensor.
        values: The tensor before it was rounded.
    """
    if rounded is not values and not isinstance(rounded, keras.KerasTensor):
        rounded._edgekit_unrounded = values
    return rounded


def unrounded(tensor: Any) -> Any | None:
    """The values that `keep_unrounded` left with a tensor; None where it was not rounded."""
    return getattr(tensor, "_edgekit_unrounded", None)

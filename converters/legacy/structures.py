"""Nested inputs and outputs of models."""

from collections.abc import Callable


def unwrapped(value, change: Callable = lambda item: item):
    """Plain lists, tuples and dicts in place of those that TensorFlow tracks.

    Example:
        >>> unwrapped(model.input)

    Args:
        value: Anything nested.
        change: What becomes of each item. Defaults to itself.
    """
    if isinstance(value, dict):
        return {key: unwrapped(item, change) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        kind = tuple if isinstance(value, tuple) else list
        return kind(unwrapped(item, change) for item in value)
    return change(value)

"""Models of Keras 3, worked on by TFMOT in a process of its own."""

import functools
from collections.abc import Callable


def remotely(function: Callable) -> Callable:
    """Do what `function` does to a Keras 3 model in a process of its own."""

    @functools.wraps(function)
    def run(model, *args, **kwargs):
        return function(model, *args, **kwargs)

    return run

"""Inputs that bring the teacher's answers with them."""

from typing import Any, NamedTuple


class Taught(NamedTuple):
    """What `Distiller.ask_once` makes of inputs; `fit` takes it in their place.

    Attributes:
        inputs: For the student.
        answers: `{name: array}`: the teacher's outputs by number, and its features by layer.
    """

    inputs: Any
    answers: dict[str, Any]

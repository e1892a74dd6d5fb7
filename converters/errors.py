"""What can go wrong in a conversion."""


class ConversionError(RuntimeError):
    """LiteRT's converter could not convert the model; `output` is what it printed."""

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


class MigrationError(ValueError):
    """Something of a legacy model has no counterpart in Keras 3; the message says what."""


def first_line(error: BaseException) -> str:
    """The first line an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

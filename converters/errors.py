"""What can go wrong that is not the caller's input."""


class ConversionError(RuntimeError):
    """LiteRT's converter could not convert the model; `output` is what it printed."""

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


def first_line(error: BaseException) -> str:
    """The first line an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

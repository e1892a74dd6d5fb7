"""What can go wrong in a conversion."""

_INNER = "Exception encountered: "
_CALLING = "Exception encountered when calling"


class ConversionError(RuntimeError):
    """LiteRT's converter could not convert the model; `output` is what it printed."""

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


class MigrationError(ValueError):
    """Something of a legacy model has no counterpart in Keras 3; the message says what."""


def cause(error: BaseException) -> str:
    """What went wrong, without the configuration or the layer that Keras wraps it in."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    inner = [line for line in lines if line.startswith(_INNER)]
    if inner:
        return inner[-1].removeprefix(_INNER)
    if len(lines) > 1 and lines[0].startswith(_CALLING):
        return f"{lines[0]} {lines[1]}"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """The first line an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

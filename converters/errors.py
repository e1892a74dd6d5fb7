"""What can go wrong in a conversion."""

import re

# What TensorFlow's converter says of an op that LiteRT lacks, after where it is.
_LACKING = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_PLACE = re.compile(r'"([^"@]+)@__inference')
# What people write for it, and what they can do.
_INSTEAD = {
    "BitwiseAnd": "keras.ops.argmax and argmin: give out the scores, and pick where they are read",
    "MaxPool3D": "MaxPooling3D: reshape and pool over two axes, then over the third",
    "MaxPool3DV2": "MaxPooling3D: reshape and pool over two axes, then over the third",
    "AvgPool3D": "AveragePooling3D: reshape and pool over two axes, then over the third",
}
_INNER = "Exception encountered: "
_CALLING = "Exception encountered when calling"
# Keras 3 prints what an error says in bold.
_STYLE = re.compile(r"\x1b\[\d*m")


class ConversionError(RuntimeError):
    """LiteRT's converter could not convert the model; `output` is what it printed."""

    def __init__(self, message: str, output: str = ""):
        super().__init__(message)
        self.output = output


class FailedCheckError(ConversionError):
    """A converted file runs, and does not compute what the model does."""


class MigrationError(ValueError):
    """Something of a legacy model has no counterpart in Keras 3; the message says what."""


def lacking_op(output: str) -> str | None:
    """The op that LiteRT has none for, and where it is, in words; None if that is not the reason.

    Args:
        output: What TensorFlow's converter printed.
    """
    lacking = list(dict.fromkeys(_LACKING.findall(output)))
    if not lacking:
        return None
    name = lacking[0]
    place = next((p for p in _PLACE.findall(output) if p.endswith(f"/{name}")), "")
    where = f" in {place.removesuffix(f'/{name}')!r}" if place else ""
    instead = f". It comes from {_INSTEAD[name]}" if name in _INSTEAD else ""
    return f"LiteRT has no op for TensorFlow's {' and '.join(lacking)}{where}{instead}"


def cause(error: BaseException) -> str:
    """What went wrong, without the configuration or the layer that Keras wraps it in."""
    said = _STYLE.sub("", str(error))
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    inner = [line for line in lines if line.startswith(_INNER)]
    if inner:
        return inner[-1].removeprefix(_INNER)
    if len(lines) > 1 and lines[0].startswith(_CALLING):
        return f"{lines[0]} {lines[1]}"
    return first_line(error)


def first_line(error: BaseException) -> str:
    """The first line an error says, or its kind where it says nothing."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__)

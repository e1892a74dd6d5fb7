"""The formats a model can be converted to."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One way to store a model in a flatbuffer.

    Args:
        name: What `convert` calls it.
        stores: What weights and activations are, in words.
        integer: Whether the file computes in integers, so that it needs activation ranges.
        calibrated: Whether these can be measured on samples; otherwise only a model that was
            trained for the format converts to it.
    """

    name: str
    stores: str
    integer: bool = False
    calibrated: bool = False


FORMATS = {
    f.name: f
    for f in (
        Format("float32", "weights and activations float32"),
        Format("float16", "weights float16, computed in float32"),
        Format("dynamic", "weights int8 (those of 1,024 elements and more), activations float32"),
        Format("int8", "weights and activations int8", integer=True, calibrated=True),
        Format("int16x8", "weights int8, activations int16", integer=True),
        Format("int4", "weights int4 where trained so, else int8; activations int8", integer=True),
    )
}


def check_formats(formats: list[str]) -> list[str]:
    """`formats` without repetitions.

    Raises:
        ValueError: None are given, or one is not known.
    """
    if not isinstance(formats, (str, list, tuple)):
        raise ValueError(f"`formats` must be a name or a list of names. Received: {formats!r}")
    formats = list(dict.fromkeys([formats] if isinstance(formats, str) else formats))
    unknown = [f for f in formats if f not in FORMATS]
    if unknown or not formats:
        raise ValueError(
            f"`formats` must name one or more of {', '.join(FORMATS)}. Received: {formats!r}"
        )
    return formats

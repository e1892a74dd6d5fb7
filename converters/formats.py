"""The formats a model can be converted to."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Format:
    """One way to store a model in a flatbuffer and compute with it.

    Args:
        name: What `convert` calls it.
        stores: What weights and activations are, in words.
        weights: Bits of a weight; fewer than 32 where there is a kernel for it.
        activations: Bits of an activation; 32 is float.
        dynamic: Whether kernels round float activations to int8 as they go. Defaults to
            `False`.
    """

    name: str
    stores: str
    weights: int
    activations: int = 32
    dynamic: bool = False

    @property
    def integer(self) -> bool:
        """Whether the file computes in integers, so that it needs activation ranges."""
        return self.activations < 32


FORMATS = {
    f.name: f
    for f in (
        Format("float32", "weights and activations float32", 32),
        Format("float16", "weights float16, computed in float32", 16),
        Format("dynamic", "weights int8, activations float32, products in int8", 8, dynamic=True),
        Format("dynamic_int4", "as dynamic, weights int4 where kernels are", 4, dynamic=True),
        Format("weight_only", "weights int8, computed in float32", 8),
        Format("weight_only_int4", "weights int4 where kernels are, computed in float32", 4),
        Format("int8", "weights and activations int8", 8, 8),
        Format("int16x8", "weights int8, activations int16", 8, 16),
        Format("int4", "weights int4 where kernels are, else int8; activations int8", 4, 8),
    )
}


def check_formats(formats: str | Sequence[str]) -> list[str]:
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

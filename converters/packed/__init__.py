"""Files that pay for a download: a `.tflite` packed into an `.ekz`, and back.

Names load when first used: numba takes a second.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.packed.packing import pack
    from converters.packed.unpacking import unpack

_HOMES = {"pack": "packing", "unpack": "unpacking"}

__all__ = ["pack", "unpack"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"converters.packed.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'converters.packed' has no attribute {name!r}")

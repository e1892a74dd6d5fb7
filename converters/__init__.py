"""converters: Keras models to LiteRT flatbuffers, and a plain look inside them.

Names load when first used: looking into a file or running it needs no Keras.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.conversion import convert
    from converters.errors import ConversionError
    from converters.flatbuffer import Flatbuffer
    from converters.formats import FORMATS
    from converters.inspection import Inspection, inspect

_HOMES = {
    "ConversionError": "errors",
    "convert": "conversion",
    "Flatbuffer": "flatbuffer",
    "FORMATS": "formats",
    "Inspection": "inspection",
    "inspect": "inspection",
}

__all__ = ["FORMATS", "ConversionError", "Flatbuffer", "Inspection", "convert", "inspect"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"converters.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'converters' has no attribute {name!r}")

"""converters: Keras models to LiteRT flatbuffers, and a plain look inside them.

Names load when first used: looking into a file or running it needs no Keras.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.bit_allocation import MixedPrecision, mixed_precision
    from converters.conversion import convert
    from converters.errors import ConversionError, FailedCheckError
    from converters.flatbuffer import Flatbuffer
    from converters.formats import FORMATS
    from converters.inspection import Inspection, inspect
    from converters.packaging import package
    from converters.packed import pack, unpack
    from converters.sensitivity_analysis import Sensitivity, sensitivity

_HOMES = {
    "ConversionError": "errors",
    "FailedCheckError": "errors",
    "convert": "conversion",
    "MixedPrecision": "bit_allocation",
    "mixed_precision": "bit_allocation",
    "Sensitivity": "sensitivity_analysis",
    "sensitivity": "sensitivity_analysis",
    "Flatbuffer": "flatbuffer",
    "FORMATS": "formats",
    "Inspection": "inspection",
    "inspect": "inspection",
    "package": "packaging",
    "pack": "packed",
    "unpack": "packed",
}

__all__ = [
    "FORMATS",
    "ConversionError",
    "FailedCheckError",
    "Flatbuffer",
    "Inspection",
    "MixedPrecision",
    "Sensitivity",
    "convert",
    "inspect",
    "mixed_precision",
    "pack",
    "package",
    "sensitivity",
    "unpack",
]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"converters.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'converters' has no attribute {name!r}")

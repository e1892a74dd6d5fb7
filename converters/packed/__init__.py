"""Files that pay for a download: a `.tflite` packed into an `.ekz`, and back."""

from converters.packed.packing import pack
from converters.packed.unpacking import unpack

__all__ = ["pack", "unpack"]

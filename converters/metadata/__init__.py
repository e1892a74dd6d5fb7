"""TensorFlow Lite metadata: what a `.tflite` says of itself, with its files behind it as a zip.

`schema` has the tables as data, `tree` reads and writes them, `attached_files` is the zip, and
`reading` says in plain objects what apps want to know.
"""

from converters.metadata.reading import Metadata, TensorMetadata, read_metadata

__all__ = ["Metadata", "TensorMetadata", "read_metadata"]

"""What a benchmark is given, as a flatbuffer: converted first, where it is a Keras model."""

import os
from pathlib import Path

from converters.flatbuffer import Flatbuffer


def as_flatbuffer(model) -> Flatbuffer:
    """The flatbuffer itself, that in a file, or a Keras model in float32.

    Example:
        >>> as_flatbuffer("old_model.h5").size

    Args:
        model: A `Flatbuffer`, a model of Keras 3 or tf_keras, or the path of either's file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is nothing that can be converted.
        ConversionError: The model cannot be converted.
    """
    if isinstance(model, Flatbuffer):
        return model
    if isinstance(model, (str, os.PathLike)) and not _is_keras_file(Path(model)):
        return Flatbuffer.from_file(model)
    from converters.conversion import convert

    return convert(model)["float32"]


def _is_keras_file(path: Path) -> bool:
    return path.suffix in (".keras", ".h5", ".hdf5") or path.is_dir()

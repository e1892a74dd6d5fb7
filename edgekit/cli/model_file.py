"""Reading the user's model from a file."""

from pathlib import Path

from converters.flatbuffer import Flatbuffer
from edgekit.cli.quiet import quiet_start_up


def load_convertible(path: str):
    """What `convert` takes: a float `.tflite`, an exported graph, or a Keras model in a file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
    if path.endswith(".tflite"):
        return Flatbuffer.from_file(path)
    if Path(path).is_dir():
        with quiet_start_up():
            from converters.exported import exported_flatbuffer, is_exported
        if is_exported(path):
            return exported_flatbuffer(path)
    return load_keras_model(path)


def load_keras_model(path: str):
    """The model in a file of any Keras, not compiled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read; the message says why.
    """
    with quiet_start_up():
        from edgekit.pipeline.load_model import load_model
    return load_model(path)

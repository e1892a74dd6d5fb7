"""Reading the user's model from a file."""

import zipfile

from converters.files import existing_file
from converters.flatbuffer import Flatbuffer
from edgekit.cli.quiet import quiet_start_up


def load_convertible(path: str):
    """What `convert` takes: a float `.tflite` file, or the Keras model in another.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It cannot be read.
    """
    if path.endswith(".tflite"):
        return Flatbuffer.from_file(path)
    return load_keras_model(path)


def load_keras_model(path: str):
    """The model in a `.keras` or `.h5` file, not compiled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: Keras cannot read it; the message says why.
    """
    if existing_file(path).suffix not in (".keras", ".h5", ".hdf5"):
        raise ValueError(f"{path}: expected a model, a .keras, .h5 or .tflite file")
    if path.endswith(".keras") and not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} cannot be read as a Keras model: it is not a whole .keras archive"
        )
    with quiet_start_up():
        import keras

        import edgekit.quantization  # noqa: F401  its layers may be inside the file
    try:
        return keras.models.load_model(path, compile=False)
    except Exception as error:
        # Keras raises zip, HDF5, key and type errors alike for a file it cannot read.
        first = next(iter(str(error).strip().splitlines()), type(error).__name__)
        raise ValueError(f"{path} cannot be read as a Keras model: {first}") from None

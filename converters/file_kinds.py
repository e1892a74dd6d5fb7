"""What a file is, told from its first bytes: a `.tflite`, or for messages what else."""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

_IDENTIFIER = b"TFL3"
_CONVERT = "`convert` makes a .tflite of it, once its name ends so"
_MARKS = (
    (b"\x89HDF", f"an HDF5 file, as Keras's .h5: {_CONVERT}"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"EKZ", "a packed model (.ekz): unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it (git lfs pull)"),
    (b"\x1f\x8b", "compressed by gzip: decompress it first"),
    (b"<", "a web page or XML"),
)
KERAS_SUFFIXES = (".keras", ".h5", ".hdf5")
# The words by which quantization-aware models of either Keras can be told in their configuration.
_ROUNDS = (b"Quantize", b"quantize")
# A longer configuration is left to who loads the model.
_MOST_CONFIG = 64 * 2**20


def check_flatbuffer(content: bytes) -> None:
    """Refuse bytes that are no `.tflite`.

    Raises:
        ValueError: They are not; it says what they seem to be.
    """
    if len(content) < 8 or content[4:8] != _IDENTIFIER:
        kind = kind_of(content) or f"{len(content):,} bytes without the mark 'TFL3' at byte 4"
        raise ValueError(f"not a LiteRT flatbuffer (.tflite) but {kind}")


def check_model_file(path: str | os.PathLike) -> None:
    """Refuse a file that is not what its ending says, before TensorFlow is loaded to read it.

    Args:
        path: A file; with another ending than those of `.tflite` and Keras, or as a folder, it is
            not looked at.

    Raises:
        ValueError: It is damaged, or something else.
    """
    path = Path(path)
    if path.is_dir():
        return
    if path.suffix in KERAS_SUFFIXES:
        from converters.legacy.headers import read_header

        read_header(path)
    elif path.suffix == ".tflite":
        with path.open("rb") as file:
            start = file.read(8)
        try:
            check_flatbuffer(start if start[4:] == _IDENTIFIER else path.read_bytes())
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from None


def kind_of(content: bytes) -> str | None:
    """What the bytes seem to be, in words; None where nothing is known.

    Args:
        content: A file's bytes, or its first few.
    """
    start = content.lstrip()
    if content.startswith(b"PK"):
        return _kind_of_zip(content)
    return next((words for mark, words in _MARKS if start.startswith(mark)), None)


def _kind_of_zip(content: bytes) -> str:
    if b"model.weights.h5" in content or b"metadata.json" in content[:256]:
        return f"a Keras model (.keras): {_CONVERT}"
    if b".npy" in content[:256]:
        return "NumPy arrays (.npz)"
    return "a ZIP archive"


def may_be_quantization_aware(path: str | os.PathLike) -> bool:
    """Whether a model's file may hold a quantization-aware model; asked before Keras is loaded.

    Args:
        path: A `.keras` or `.h5` file, a SavedModel's folder or a `.tflite`.
    """
    path = Path(path)
    if path.suffix == ".tflite":
        return False
    if path.is_dir():  # a SavedModel; one without this file is refused by who loads it
        path /= "keras_metadata.pb"
    if not path.is_file():
        return True
    try:
        return any(word in config for config in _configs(path) for word in _ROUNDS)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        return True  # what is wrong with it is said by who loads it


def _configs(path: Path) -> Iterable[bytes]:
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:  # HDF5 and SavedModels keep the configuration as plain text
            yield file.read(_MOST_CONFIG)
        return
    with zipfile.ZipFile(path) as archive:
        if archive.getinfo("config.json").file_size > _MOST_CONFIG:
            raise ValueError("too long")
        yield archive.read("config.json")

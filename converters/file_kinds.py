"""What a file is that is no `.tflite`, told from its first bytes, for messages."""

import os
import zipfile
from collections.abc import Iterable
from pathlib import Path

_CONVERT = "`convert` makes a .tflite of it"
_MARKS = (
    (b"\x89HDF", f"an HDF5 file, as Keras's .h5: {_CONVERT}"),
    (b"\x93NUMPY", "a NumPy array (.npy)"),
    (b"EKZ", "a packed model (.ekz): unpack it first"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself: fetch it (git lfs pull)"),
    (b"\x1f\x8b", "compressed by gzip: decompress it first"),
    (b"<", "a web page or XML"),
)
# The words by which quantization-aware models of either Keras can be told in their configuration.
_ROUNDS = (b"Quantize", b"quantize")
# A longer configuration is left to who loads the model.
_MOST_CONFIG = 64 * 2**20


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

"""What a model's file says of itself, read without running anything of it."""

import json
import os
import re
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py

from converters.bounded_hdf5 import check_hdf5, check_hdf5_entry
from converters.bounded_zip import check_zip_file
from converters.files import existing_file

# Of a configuration; those of the largest models have a few million.
_MOST_BYTES = 100_000_000
_HDF5_SUFFIXES = (".h5", ".hdf5")
# Levels of a configuration; a model in a model has about five.
_MOST_LEVELS = 200
_TOO_DEEP = (
    f"it is nested more than {_MOST_LEVELS} levels deep, as no model is, so the file is damaged or "
    "made to do harm"
)


@dataclass(frozen=True)
class Header:
    """The outside of a model's file.

    Attributes:
        path: The file, or the folder of a SavedModel.
        kind: ".keras", "HDF5" or "SavedModel".
        version: Of the Keras that wrote it; None where it does not say.
        configs: Its configurations, as they are written there.
        backend: What its weights are for, where an HDF5 file says it.
    """

    path: Path
    kind: str
    version: str | None
    configs: list[dict]
    backend: str | None = None

    @property
    def legacy(self) -> bool:
        """Whether it is not one of Keras 3."""
        return not re.match(r"([3-9]|\d\d+)\.", self.version or "")

    def __str__(self) -> str:
        return f"Keras {self.version or 'of unknown version'}, {self.kind}"


def read_header(path: str | os.PathLike) -> Header:
    """The header of a file, told by its content, not by its name.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no model, or holds weights or a graph alone.
    """
    if Path(path).is_dir():
        return _saved_model(Path(path))
    path = existing_file(path)
    zipped, hdf5 = zipfile.is_zipfile(path), h5py.is_hdf5(path)
    if zipped and hdf5:
        raise ValueError(f"{path} is a .keras archive and an HDF5 file at once: which is not said")
    if zipped:
        return _archive(path)
    if hdf5:
        return _hdf5(path)
    expected = "a .keras archive, an HDF5 file (.h5) or the folder of a SavedModel"
    if path.suffix == ".keras":
        expected = "a whole .keras archive"
    raise ValueError(f"{path} is no Keras model: expected {expected}")


def _archive(path: Path) -> Header:
    check_zip_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            metadata = _mapping(_unpacked(archive, "metadata.json"))
            config = _mapping(_unpacked(archive, "config.json"))
            config.pop("compile_config", None)  # what it was trained with stays behind
            for entry in archive.infolist():
                if entry.filename.endswith(_HDF5_SUFFIXES):
                    check_hdf5_entry(archive, entry, path)
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no whole .keras archive: {error}") from None
    version = metadata.get("keras_version")
    return Header(path, ".keras", str(version) if version else None, [config])


def _unpacked(archive: zipfile.ZipFile, name: str) -> bytes:
    """A file of an archive, which may say of itself to be far larger than it is packed."""
    size = archive.getinfo(name).file_size
    if size > _MOST_BYTES:
        raise ValueError(f"its {name} claims {size:,} bytes, and {_MOST_BYTES:,} are the most")
    return archive.read(name)


def _hdf5(path: Path) -> Header:
    try:
        with h5py.File(path) as file:
            check_hdf5(file, path.stat().st_size, str(path))
            version, config = file.attrs.get("keras_version"), file.attrs.get("model_config")
            backend = file.attrs.get("backend")
            layers = "layer_names" in file.attrs
    except (OSError, RuntimeError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if config is None:
        what = "weights alone, and no model" if layers else "no Keras model"
        raise ValueError(
            f"{path} holds {what}: build the model in code and call its load_weights, or save "
            "the whole model with model.save"
        )
    try:
        config = _mapping(config)
    except ValueError as error:
        raise ValueError(f"{path}: its configuration is damaged: {error}") from None
    version = _text(version) if version is not None else None
    if version and version.startswith("1."):
        raise ValueError(
            f"{path} was written by Keras {version}, whose layers Keras 2 has not: load and save "
            "it with Keras 2.0 first"
        )
    backend = _text(backend) if backend is not None else None
    return Header(path, "HDF5", version, [config], backend)


def _saved_model(folder: Path) -> Header:
    if not (folder / "saved_model.pb").is_file():
        raise ValueError(f"{folder} is a folder without saved_model.pb: it is no SavedModel")
    from converters.legacy.saved_model_metadata import keras_metadata

    try:
        found = [_mapping(text) for text in keras_metadata(folder)]
    except ValueError as error:
        raise ValueError(f"{folder}: its configuration is damaged: {error}") from None
    for node in found:
        node.pop("training_config", None)  # what it was trained with stays behind
    if not any(node.get("class_name") for node in found):
        raise ValueError(
            f"{folder} holds a graph and no Keras model, as tf.saved_model.save and Keras 3's "
            "export write it: `convert` takes it as it is, what looks into a model needs the model "
            "itself, saved with model.save"
        )
    return Header(folder, "SavedModel", _producer(found), found)


def _producer(nodes: list[dict]) -> str | None:
    return next((str(node["keras_version"]) for node in nodes if "keras_version" in node), None)


def _mapping(text: str | bytes) -> dict:
    try:
        found = json.loads(_text(text))
    except RecursionError:
        raise ValueError(_TOO_DEEP) from None
    if not isinstance(found, dict):
        raise ValueError(f"a configuration is a {type(found).__name__}")
    if _is_deeper(found, _MOST_LEVELS):
        raise ValueError(_TOO_DEEP)
    return found


def _is_deeper(config: dict, most: int) -> bool:
    """Whether anything in it is nested more than so many levels deep."""
    level: list = [config]
    for _ in range(most):
        level = [
            item
            for part in level
            for item in (part.values() if isinstance(part, dict) else part)
            if isinstance(item, (dict, list))
        ]
        if not level:
            return False
    return True


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

"""What a model's file says of itself, read without running anything of it."""

import json
import os
import zipfile
from dataclasses import dataclass
from pathlib import Path

import h5py

from converters.files import existing_file


@dataclass(frozen=True)
class Header:
    """The outside of a model's file.

    Attributes:
        path: The file, or the folder of a SavedModel.
        kind: ".keras", "HDF5" or "SavedModel".
        version: Of the Keras that wrote it; None where it does not say.
        configs: Its configurations, as they are written there.
    """

    path: Path
    kind: str
    version: str | None
    configs: list[dict]

    @property
    def legacy(self) -> bool:
        """Whether Keras 1 or 2 wrote it."""
        return self.version is None or int(self.version.split(".")[0]) < 3

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
    if zipfile.is_zipfile(path):
        return _archive(path)
    if h5py.is_hdf5(path):
        return _hdf5(path)
    expected = "a .keras archive, an HDF5 file (.h5) or the folder of a SavedModel"
    if path.suffix == ".keras":
        expected = "a whole .keras archive"
    raise ValueError(f"{path} is no Keras model: expected {expected}")


def _archive(path: Path) -> Header:
    try:
        with zipfile.ZipFile(path) as archive:
            version = json.loads(archive.read("metadata.json")).get("keras_version")
            config = json.loads(archive.read("config.json"))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is no whole .keras archive: {error}") from None
    return Header(path, ".keras", version, [config])


def _hdf5(path: Path) -> Header:
    try:
        with h5py.File(path) as file:
            version, config = file.attrs.get("keras_version"), file.attrs.get("model_config")
            layers = "layer_names" in file.attrs
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error}") from None
    if config is None:
        what = "weights alone, and no model" if layers else "no Keras model"
        raise ValueError(
            f"{path} holds {what}: build the model in code and call its load_weights, or save "
            "the whole model with model.save"
        )
    try:
        config = json.loads(_text(config))
    except ValueError as error:
        raise ValueError(f"{path}: its configuration is damaged: {error}") from None
    return Header(path, "HDF5", _text(version) if version is not None else None, [config])


def _saved_model(folder: Path) -> Header:
    if not (folder / "saved_model.pb").is_file():
        raise ValueError(f"{folder} is a folder without saved_model.pb: it is no SavedModel")
    from converters.legacy.saved_model_metadata import keras_metadata

    found = [json.loads(text) for text in keras_metadata(folder)]
    if not any(node.get("class_name") for node in found):
        raise ValueError(
            f"{folder} holds a graph and no Keras model, as tf.saved_model.save and Keras 3's "
            "export write it: save the model itself, with model.save"
        )
    return Header(folder, "SavedModel", _producer(found), found)


def _producer(nodes: list[dict]) -> str | None:
    return next((str(node["keras_version"]) for node in nodes if "keras_version" in node), None)


def _text(value) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

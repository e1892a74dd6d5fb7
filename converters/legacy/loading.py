"""`load_model`: a model from a file of any Keras, as one of Keras 3."""

import inspect
import os
import tempfile
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path

import keras

from converters.errors import MigrationError, first_line
from converters.legacy.headers import Header, read_header
from converters.legacy.migration import Migration, carry_over
from converters.legacy.requirement import is_tf_keras_model, tf_keras
from converters.legacy.screening import refuse_code

_SUFFIXES = {".keras": ".keras", "HDF5": ".h5"}


def load_model(
    path: str | os.PathLike, custom_objects: Mapping | None = None, allow: Iterable[str] = ()
) -> keras.Model:
    """The Keras 3 model in a file, whatever version of Keras wrote it.

    A file of Keras 1 or 2 is read with tf_keras (extra `legacy`), built again with Keras 3's
    layers, and asked whether it answers the same; warns of what could not be checked. `migrate`
    says how far the answers are apart.

    Example:
        >>> model = load_model("resnet8.h5")
        >>> model = load_model("saved_model_folder", custom_objects={"my_activation": f})

    Args:
        path: A `.keras` file, an HDF5 file (`.h5`), or the folder of a SavedModel that Keras 2
            wrote.
        custom_objects: `{name: class or function}` for what is not Keras's; classes are Keras 3
            ones. Defaults to `None`.
        allow: Names of layers whose Python code, in the file, may run. Defaults to none.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no model, holds code that is not allowed, or has parts without a
            counterpart in Keras 3; the message says what and where.
        ImportError: tf_keras is needed and not installed.
    """
    found = migrate(path, custom_objects, allow)
    for note in found.notes:
        warnings.warn(f"{path}: {note}", stacklevel=2)
    return found.model


def migrate(model, custom_objects: Mapping | None = None, allow: Iterable[str] = ()) -> Migration:
    """A model of legacy Keras as one of Keras 3, and how far its answers are from the old one's.

    Example:
        >>> found = migrate("resnet8.h5")
        >>> print(found)
        >>> found.model.save("resnet8.keras")

    Args:
        model: A model of tf_keras, or a file as for `load_model`.
        custom_objects: As for `load_model`. Defaults to `None`.
        allow: As for `load_model`; a model in memory needs none. Defaults to none.

    Raises:
        FileNotFoundError, ValueError, ImportError: As for `load_model`.
    """
    custom_objects = dict(custom_objects or {})
    if is_tf_keras_model(model):
        return carry_over(model, "tf_keras", custom_objects)
    if isinstance(model, keras.Model):
        raise ValueError(f"model {model.name!r} is one of Keras 3 already")
    if not isinstance(model, (str, os.PathLike)):
        raise ValueError(
            "`model` must be a tf_keras model, or the path of a .keras file, an HDF5 file or a "
            f"SavedModel. Received: {type(model).__name__}"
        )
    header = read_header(model)
    refuse_code(header, custom_objects, allow)
    if not header.legacy:
        return Migration(_in_keras_3(header, custom_objects, allow), str(header), None)
    try:
        old = _in_tf_keras(header, custom_objects, allow)
    except Exception as error:  # of any kind, as files please
        return _unchecked(header, custom_objects, allow, error)
    return carry_over(old, str(header), custom_objects)


def _in_tf_keras(header: Header, custom_objects: dict, allow):
    module = tf_keras()
    known = {name: value for name, value in custom_objects.items() if not _of_keras_3(value)}
    safe = {"safe_mode": not allow} if header.kind == ".keras" else {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = module.models.load_model(header.path, custom_objects=known, compile=False, **safe)
    if not isinstance(model, module.Model):
        raise MigrationError(f"{header.path} holds no model but a {type(model).__name__}")
    return model


def _of_keras_3(value) -> bool:
    return inspect.isclass(value) and issubclass(value, keras.layers.Layer)


def _unchecked(header: Header, custom_objects: dict, allow, why: Exception) -> Migration:
    """What Keras 3 itself makes of a legacy file, where tf_keras does not read it."""
    try:
        if header.kind == "SavedModel":
            raise why
        model = _in_keras_3(header, custom_objects, allow)
    except Exception:  # of any kind: tf_keras's reason is nearer to the file
        if isinstance(why, ImportError):
            raise why from None
        raise MigrationError(
            f"{header.path} ({header}) cannot be read: {first_line(why)}"
        ) from None
    note = f"outputs were not compared with the old model's: {first_line(why)}"
    return Migration(model, str(header), None, [note])


def _in_keras_3(header: Header, custom_objects: dict, allow) -> keras.Model:
    with tempfile.TemporaryDirectory() as folder:
        # Keras goes by the suffix.
        path = Path(folder) / f"model{_SUFFIXES[header.kind]}"
        path.symlink_to(header.path.resolve())
        try:
            return keras.saving.load_model(
                path, custom_objects=custom_objects, compile=False, safe_mode=not allow
            )
        except Exception as error:  # of every kind, as the file's layers please
            raise MigrationError(
                f"{header.path} ({header}) cannot be read: {first_line(error)}"
            ) from None

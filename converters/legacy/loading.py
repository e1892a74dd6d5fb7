"""`load_model`: a model from a file of any Keras, as one of Keras 3."""

import inspect
import json
import os
import shutil
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import keras
import numpy as np

from converters.errors import MigrationError, cause
from converters.legacy.application_layers import application_layers
from converters.legacy.headers import Header, read_header
from converters.legacy.migration import Migration, carry_over
from converters.legacy.requirement import is_tf_keras_model, tf_keras
from converters.legacy.screening import refuse_code, stand_ins
from converters.temporary import temporary_folder

_TURNED = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D")
_SUFFIXES = {".keras": ".keras", "HDF5": ".h5"}


def load_model(
    path: str | os.PathLike, custom_objects: Mapping | None = None, allow: Iterable[str] = ()
) -> keras.Model:
    """The Keras 3 model in a file, whatever version of Keras wrote it.

    A file of Keras 2 is read with tf_keras (extra `legacy`), built again with Keras 3's layers, and
    asked whether it answers the same; warns of what could not be checked. `migrate` says how far
    the answers are apart. Code in a file's configuration does not run; a SavedModel holds a
    TensorFlow graph beside it, of which only ops that touch files or call Python are refused.

    Example:
        >>> model = load_model("resnet8.h5")
        >>> model = load_model("saved_model_folder", custom_objects={"my_activation": f})

    Args:
        path: A `.keras` file, an HDF5 file (`.h5`), or the folder of a SavedModel that Keras 2
            wrote.
        custom_objects: `{name: function, or (tf_keras class, Keras 3 class)}` for what is not
            Keras's; of a file of Keras 3, `{name: function or class}`. Defaults to `None`.
        allow: Names of layers, or of their classes, whose Python code, in the file, may run.
            Defaults to none.

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
    custom_objects = _checked(custom_objects)
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
    if header.legacy:
        tf_keras()  # its classes are known to the screening
    refuse_code(header, custom_objects, allow)
    if not header.legacy:
        return Migration(_in_keras_3(header, custom_objects, allow), str(header), None)
    return carry_over(_in_tf_keras(header, custom_objects, allow), str(header), custom_objects)


def _checked(custom_objects: Mapping | None) -> dict:
    """Refuse what neither Keras can use."""
    if custom_objects is None:
        return {}
    if not isinstance(custom_objects, Mapping):
        raise ValueError(f"`custom_objects` must be a dict by name. Received: {custom_objects!r}")
    for name, value in custom_objects.items():
        if isinstance(value, tuple):
            sound = len(value) == 2 and all(map(callable, value)) and not _is_layer(value[0])
        else:
            sound = callable(value)
        if not sound:
            raise ValueError(
                f"`custom_objects` of {name!r} must be a function, a class of Keras 3, or a pair "
                f"(tf_keras class, Keras 3 class). Received: {value!r}"
            )
    return dict(custom_objects)


def _in_tf_keras(header: Header, custom_objects: dict, allow):
    """The model as it was. Both kinds of files hold what went through the screening."""
    module = tf_keras()
    known = {name: _old(value) for name, value in custom_objects.items()}
    known = {name: value for name, value in known.items() if value is not None}
    known = application_layers("tf_keras") | stand_ins(header, custom_objects) | known
    safe = {"safe_mode": not allow} if header.kind == ".keras" else {}
    with _named_by_kind(header) as path, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            model = module.models.load_model(path, custom_objects=known, compile=False, **safe)
        except Exception as error:  # of every kind, as the file's layers please
            raise _unreadable(header, error) from None
    if not isinstance(model, module.Model):
        raise MigrationError(f"{header.path} holds no model but a {type(model).__name__}")
    if header.backend == "theano":
        turn_kernels(model)
    return model


def turn_kernels(model) -> None:
    """Theano's convolutions ran through their kernels backwards: Keras 2 turned them on loading.

    Args:
        model: Of tf_keras, with weights as they were under Theano.
    """
    for layer in model._flatten_layers():
        if type(layer).__name__ in _TURNED:
            for name in ("kernel", "recurrent_kernel"):
                kernel = getattr(getattr(layer, "cell", layer), name, None)
                if kernel is not None:
                    sides = tuple(range(len(kernel.shape) - 2))
                    kernel.assign(np.flip(np.asarray(kernel), sides))


def _in_keras_3(header: Header, custom_objects: dict, allow) -> keras.Model:
    with _named_by_kind(header) as path:
        try:
            known = application_layers("keras") | custom_objects
            return keras.saving.load_model(
                path, custom_objects=known, compile=False, safe_mode=not allow
            )
        except Exception as error:  # of every kind, as the file's layers please
            raise _unreadable(header, error) from None


def _unreadable(header: Header, error: Exception) -> MigrationError:
    if isinstance(error, MemoryError):
        return MigrationError(f"{header.path} ({header}) asks for more memory than there is")
    return MigrationError(
        f"{header.path} ({header}) cannot be read: {cause(error)} What is your own must be in "
        "`custom_objects`: functions, and of a layer a pair (tf_keras class, Keras 3 class)"
    )


def _old(value):
    """What tf_keras is told of a custom object: functions, and the first of a pair of classes."""
    if isinstance(value, tuple):
        return value[0]
    return None if _is_layer(value) else value


def _is_layer(value) -> bool:
    return inspect.isclass(value) and issubclass(value, keras.layers.Layer)


@contextmanager
def _named_by_kind(header: Header) -> Iterator[Path]:
    """The file under a name with the suffix of what it is: Keras goes by that.

    Files of Keras before 2.3 leave out what was the only way then.
    """
    if header.kind == "SavedModel":
        yield header.path
        return
    with temporary_folder("legacy") as folder:
        path = folder / f"model{_SUFFIXES[header.kind]}"
        changed = as_tf_keras_reads(header.configs[0])
        if header.kind == "HDF5" and changed != header.configs[0]:
            shutil.copy(header.path, path)
            path.chmod(0o600)
            with h5py.File(path, "a") as file:
                file.attrs["model_config"] = json.dumps(changed)
        else:
            path.symlink_to(header.path.resolve())
        yield path


def as_tf_keras_reads(config):
    """A configuration as tf_keras can read it, where it does not read what it wrote.

    Functions go by name, which it writes into HDF5 in a way of their own. What was understood of
    itself before Keras 2.3 is said.

    Args:
        config: As a file holds it.
    """
    if isinstance(config, (list, tuple)):
        return [as_tf_keras_reads(item) for item in config]
    if not isinstance(config, dict):
        return config
    kind, inside = config.get("class_name"), config.get("config")
    if kind == "function" and isinstance(inside, str):
        return inside
    if kind == "Lambda":
        return config  # it is read in a way of its own
    config = {key: as_tf_keras_reads(value) for key, value in config.items()}
    if kind in ("GRU", "GRUCell") and isinstance(config.get("config"), dict):
        config["config"].setdefault("reset_after", False)
    return config

"""`ek.load_model` and `ek.migrate`: files of any Keras, with edgekit's own layers known."""

import os
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import keras

import converters.legacy
import edgekit.distillation
import edgekit.quantization  # noqa: F401  their layers may be inside the file

if TYPE_CHECKING:
    from converters.legacy import Migration


def load_model(
    path: str | os.PathLike, custom_objects: Mapping | None = None, allow: Iterable[str] = ()
) -> keras.Model:
    """The Keras 3 model in a file, whatever version of Keras wrote it.

    A file of Keras 2 is read with tf_keras (extra `legacy`), built again with Keras 3's layers, and
    asked whether it answers the same; warns of what could not be checked. `ek.migrate` says how far
    the answers are apart. Code in a file's configuration does not run; a SavedModel holds a
    TensorFlow graph beside it, of which only ops that touch files or call Python are refused.

    Example:
        >>> model = ek.load_model("resnet8.h5")
        >>> model = ek.load_model("saved_model_folder", custom_objects={"my_activation": f})

    Args:
        path: A `.keras` file, an HDF5 file (`.h5`), or the folder of a SavedModel that Keras 2
            wrote.
        custom_objects: `{name: function, or (tf_keras class, Keras 3 class)}` for what is not
            Keras's; of a file of Keras 3, `{name: function or class}`. Defaults to `None`.
        allow: Names of layers whose Python code, in the file, may run. Defaults to none.

    Returns:
        The model, not compiled.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no model, holds code that is not allowed, or has parts without a
            counterpart in Keras 3; the message says what and where.
        ImportError: tf_keras is needed and not installed.
    """
    return converters.legacy.load_model(path, custom_objects, allow)


def migrate(model, custom_objects: Mapping | None = None, allow: Iterable[str] = ()) -> "Migration":
    """A model of legacy Keras as one of Keras 3, and how far its answers are from the old one's.

    Example:
        >>> found = ek.migrate("resnet8.h5")
        >>> print(found)
        >>> found.model.save("resnet8.keras")

    Args:
        model: A model of tf_keras, or a file as for `ek.load_model`.
        custom_objects: As for `ek.load_model`. Defaults to `None`.
        allow: As for `ek.load_model`; a model in memory needs none. Defaults to none.

    Returns:
        The model, and what is known about it: `difference` of its outputs, and `notes`.

    Raises:
        FileNotFoundError, ValueError, ImportError: As for `ek.load_model`.
    """
    return converters.legacy.migrate(model, custom_objects, allow)

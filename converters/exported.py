"""SavedModels that hold a graph and no Keras model, as `model.export` writes them."""

import os
from collections.abc import Mapping
from pathlib import Path

from converters.child import ChildError, why_it_failed
from converters.errors import ConversionError
from converters.flatbuffer import Flatbuffer
from converters.legacy.saved_model_metadata import holds_graph_alone
from converters.servers import SERVERS
from converters.temporary import temporary_folder

_FILE, _REFUSED = "float.tflite", "refused"


def is_exported(path: str | os.PathLike) -> bool:
    """Whether a path is the folder of a SavedModel that holds a graph alone.

    Raises:
        ValueError: Its graph touches files or calls Python code when it is loaded.
    """
    return Path(path).is_dir() and holds_graph_alone(Path(path))


def exported_flatbuffer(path: str | os.PathLike) -> Flatbuffer:
    """The float flatbuffer of all signatures of a SavedModel, at batch 1.

    Args:
        path: Folder of the SavedModel.

    Raises:
        ValueError: It has no signatures, or one with open sizes beside the batch.
        ConversionError: TensorFlow cannot convert it.
    """
    with temporary_folder("exported") as folder:
        job = {"folder": str(folder), "exported": str(Path(path).resolve())}
        try:
            status = SERVERS["keras"].run(job)
            reason = why_it_failed(status, (folder / "output").read_text(errors="replace"))
        except ChildError as error:
            reason = str(error)
        refused = folder / _REFUSED
        if refused.exists():
            raise ValueError(f"{path}: {refused.read_text()}")
        if reason:
            raise ConversionError(f"converting {path} to float32 failed: {reason}")
        return Flatbuffer((folder / _FILE).read_bytes())


def convert_exported(folder: Path, exported: str) -> None:
    """The worker's part: write the float flatbuffer to `folder`.

    Args:
        folder: Of the job.
        exported: Folder of the SavedModel.
    """
    import tensorflow as tf

    loaded = tf.saved_model.load(exported)
    module = tf.Module()
    module.loaded = loaded  # with its variables
    signatures = {}
    for key, function in loaded.signatures.items():
        specs = function.structured_input_signature[1]
        reason = _open_size(key, specs)
        if reason:
            (folder / _REFUSED).write_text(reason)
            return
        fixed = {
            name: tf.TensorSpec([1, *spec.shape[1:]] if spec.shape.rank else [], spec.dtype, name)
            for name, spec in specs.items()
        }
        signatures[key] = _of_fixed_shape(tf, function, fixed)
    if not signatures:
        (folder / _REFUSED).write_text(
            "it has no signatures, which say what can be called: save it with "
            "tf.saved_model.save(model, folder, signatures={name: function})"
        )
        return
    tf.saved_model.save(module, str(folder / "fixed"), signatures=signatures)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(folder / "fixed"), list(signatures))
    converter.exclude_conversion_metadata = True
    converter.experimental_enable_resource_variables = True
    (folder / _FILE).write_bytes(converter.convert())


def _of_fixed_shape(tf, function, specs: Mapping):
    """The signature for inputs of these shapes."""
    return tf.function(lambda **inputs: function(**inputs)).get_concrete_function(**specs)


def _open_size(key: str, specs: Mapping) -> str | None:
    """What is wrong with a signature whose sizes are not fixed; None where nothing is."""
    for name, spec in specs.items():
        if spec.shape.rank is None or None in spec.shape.as_list()[1:]:
            return (
                f"input {name!r} of signature {key!r} has shape {spec.shape}: export the model "
                "with every dimension but the batch fixed"
            )
    return None

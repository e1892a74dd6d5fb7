"""What can be converted: a model of Keras 3 or of tf_keras, its file, or a float flatbuffer."""

import math
import os
from dataclasses import dataclass, replace
from pathlib import Path

import keras

from converters.calibration.signatures import Calls, calls_of
from converters.exported import exported_flatbuffer, is_exported
from converters.flatbuffer import Flatbuffer
from converters.full_precision import in_full_precision
from converters.legacy.loading import load_model
from converters.legacy.requirement import is_tf_keras_model
from converters.legacy.traced import convertible, foreign_variables
from converters.model_info import ModelInfo
from converters.reader import read_models
from converters.saved_model import input_specs, keras_input_names

Convertible = keras.Model | Flatbuffer | str | os.PathLike


@dataclass(frozen=True)
class Source:
    """A model on its way to flatbuffers.

    Attributes:
        name: For messages.
        model: The Keras model, in full precision; None for a flatbuffer.
        flatbuffer: The float flatbuffer; None for a Keras model.
        shapes: `{input name: shape with batch}`, by the names of the flatbuffer to be.
        dtypes: `{input name: dtype}`.
        largest_weight: Elements of the largest kernel.
        aliases: `{name the user gave the input: name of the flatbuffer}`.
        signature: Of a flatbuffer, the default one; None where it has none.
        others: The same file's other signatures.
        calls: What that signature takes and gives; None for a Keras model.
    """

    name: str
    model: keras.Model | None
    flatbuffer: Flatbuffer | None
    shapes: dict[str, tuple[int | None, ...]]
    dtypes: dict[str, str]
    largest_weight: int
    aliases: dict[str, str]
    signature: str | None = None
    others: tuple["Source", ...] = ()
    calls: Calls | None = None

    @property
    def batch(self) -> int:
        """Samples that one run of the flatbuffer takes."""
        return next((shape[0] for shape in self.shapes.values() if shape), 1) or 1


def _largest(shapes) -> int:
    return max((math.prod(shape) for shape in shapes if len(shape) > 1), default=0)


def as_source(model: Convertible) -> Source:
    """`model` as a `Source`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is nothing that can be converted.
    """
    if isinstance(model, (str, os.PathLike)):
        model = _load(Path(model))
    if is_tf_keras_model(model):
        model = convertible(model)
    if isinstance(model, Flatbuffer):
        models = read_models(model.content)
        if any(t.scales for found in models for op in found.ops for t in op.output_tensors):
            raise ValueError("the file is quantised already: start from the float model")
        default, *others = (_of_signature(model, found) for found in models)
        largest = max(each.largest_weight for each in (default, *others))
        return replace(default, largest_weight=largest, others=tuple(others))
    if not isinstance(model, keras.Model):
        raise ValueError(
            "`model` must be a model of Keras 3 or tf_keras, a float Flatbuffer, or the path of a "
            f"model's file or of a .tflite. Received: {type(model).__name__}"
        )
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "converting needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow before importing "
            f"keras. It runs on {keras.backend.backend()}"
        )
    model = in_full_precision(model)
    shapes = input_specs(model)
    dtypes = {
        name: keras.backend.standardize_dtype(tensor.dtype)
        for name, tensor in zip(shapes, model.inputs, strict=True)
    }
    aliases = dict(zip(keras_input_names(model), shapes, strict=True))
    largest = _largest(v.shape for v in (*model.variables, *foreign_variables(model)))
    return Source(f"model {model.name!r}", model, None, shapes, dtypes, largest, aliases)


def _of_signature(file: Flatbuffer, model: ModelInfo) -> Source:
    return Source(
        name="the flatbuffer",
        model=None,
        flatbuffer=file,
        shapes={name: tensor.shape for name, tensor in model.inputs.items()},
        dtypes={name: tensor.dtype for name, tensor in model.inputs.items()},
        largest_weight=_largest(t.shape for t in model.tensors if t.constant),
        aliases={},
        signature=model.signature.key if model.signature else None,
        calls=calls_of(model),
    )


def _load(path: Path) -> keras.Model | Flatbuffer:
    if path.suffix == ".tflite":
        return Flatbuffer.from_file(path)
    if is_exported(path):
        return exported_flatbuffer(path)
    return load_model(path)

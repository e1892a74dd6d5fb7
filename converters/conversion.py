"""`convert`: a Keras model to LiteRT flatbuffers."""

import json
import tempfile
import warnings
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import keras
import numpy as np

from converters.child import ChildError, run_module
from converters.errors import ConversionError
from converters.flatbuffer import Flatbuffer
from converters.formats import FORMATS, check_formats
from converters.full_precision import in_full_precision
from converters.inspection import inspect
from converters.samples import Samples, match_inputs
from converters.saved_model import input_specs, keras_input_names, save_for_conversion


def convert(
    model: keras.Model,
    formats: str | Sequence[str] = ("float32",),
    calibration: Samples | None = None,
    edges: str = "integer",
) -> dict[str, Flatbuffer]:
    """The model as LiteRT flatbuffers, one per format.

    The converter runs in a process of its own: when it crashes, the caller gets an error.
    Shapes are fixed at batch 1, so that microcontroller runtimes can run the files.

    Example:
        >>> models = convert(model, ["float32", "int8"], calibration=x_train[:200])
        >>> models["int8"].save("model.tflite")
        >>> convert(ek.quantize_aware(model), ["int8"])      # once trained: ranges are learned

    Args:
        model: A built Functional or Sequential model. One from `ek.quantize_aware` converts to
            the format it was trained for, with the ranges it learned.
        formats: Names out of `FORMATS`: `float32`, `float16`, `dynamic`, `int8`, and for models
            trained so `int16x8` and `int4`. Defaults to `("float32",)`.
        calibration: Samples like those the model will see, which int8 needs to measure ranges:
            a `(samples, ...)` array, one per input as a list or dict by name, or the path of a
            `.npy` or `.npz` file. A few hundred are enough. Defaults to `None`.
        edges: What goes in and comes out of an integer file: `"integer"`, or `"float32"` with
            a quantising op at each edge. Defaults to `"integer"`.

    Returns:
        `{format: Flatbuffer}` in the order asked for.

    Raises:
        ValueError: An unknown format, int8 without calibration, unusable samples, a
            quantisation-aware model that has not trained or is asked for another format, open
            shapes.
        ConversionError: The converter refused the model or crashed.
    """
    formats = check_formats(formats)
    if edges not in ("integer", "float32"):
        raise ValueError(f"`edges` must be 'integer' or 'float32'. Received: edges={edges!r}")
    if not isinstance(model, keras.Model):
        raise ValueError(f"`model` must be a Keras 3 model. Received: {type(model).__name__}")
    if keras.backend.backend() != "tensorflow":
        raise ValueError(
            "converting needs Keras on TensorFlow: set KERAS_BACKEND=tensorflow before importing "
            f"keras. It runs on {keras.backend.backend()}"
        )
    model = in_full_precision(model)
    specs = input_specs(model)
    _check_weights(model)
    quantization_aware = _check_ranges(model, formats, calibration)
    with tempfile.TemporaryDirectory(prefix="edgekit-convert-") as temporary:
        folder = Path(temporary)
        if not quantization_aware and calibration is not None:
            _write_calibration(folder, model, specs, calibration)
        save_for_conversion(model, folder / "saved_model")
        job = {
            "formats": formats,
            "edges": edges,
            "quantization_aware": quantization_aware,
            "batch": next(iter(specs.values()))[0] or 1,
        }
        (folder / "job.json").write_text(json.dumps(job))
        _run(folder, model)
        results = {f: Flatbuffer((folder / f"{f}.tflite").read_bytes()) for f in formats}
    for name, flatbuffer in results.items():
        _warn_of_leftovers(name, flatbuffer)
    return results


def _check_weights(model: keras.Model) -> None:
    for variable in model.variables:
        values = np.asarray(variable)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            raise ValueError(
                f"weight {variable.path!r} holds NaN or infinite values: the model, or data it "
                "was trained on, is broken"
            )


def _check_ranges(model: keras.Model, formats: list[str], calibration) -> bool:
    """Whether the model is quantisation-aware; errors where its ranges do not fit the formats."""
    # Any layer that says what it rounds takes part; edgekit's do.
    rounding = defaultdict(list)
    for layer in model._flatten_layers(include_self=False):
        if hasattr(layer, "rounds"):
            rounding[layer.rounds].append(layer)
    if rounding["activations"]:
        trained_for = _trained_for(rounding)
        unfit = [f for f in formats if f != trained_for]
        if unfit:
            raise ValueError(
                f"a model trained for {trained_for} cannot become {', '.join(unfit)}: convert "
                f"it to {trained_for!r}, or ek.strip(model) to other formats"
            )
        blank = [layer.name for layer in rounding["activations"] if not layer.calibrated]
        if blank:
            raise ValueError(
                f"{len(blank)} activation ranges have seen no data, the first is {blank[0]!r}: "
                "train the quantisation-aware model before converting it"
            )
        return True
    untrained = [f for f in formats if FORMATS[f].integer and not FORMATS[f].calibrated]
    if untrained:
        raise ValueError(
            f"{', '.join(untrained)} needs a model trained for it: "
            f"ek.quantize_aware(model, {untrained[0]!r}), then fit"
        )
    integer = [f for f in formats if FORMATS[f].integer]
    if integer and calibration is None:
        raise ValueError(
            f"{', '.join(integer)} needs `calibration`: samples to measure activation ranges "
            "(a few hundred inputs), or a model trained with ek.quantize_aware"
        )
    return False


def _trained_for(rounding: dict[str, list]) -> str:
    if any(layer.bits != 8 for layer in rounding["weights"]):
        return "int4"
    # Some activations have 16 bits inside of an int8 model too.
    widths = Counter(layer.bits for layer in rounding["activations"])
    return "int16x8" if widths[16] > widths[8] else "int8"


def _write_calibration(folder: Path, model: keras.Model, specs: dict, calibration) -> None:
    if isinstance(calibration, Mapping):  # by the names the user gave, or by the file's
        calibration = dict(calibration)
        for name, own in zip(specs, keras_input_names(model), strict=True):
            if own in calibration:
                calibration[name] = calibration.pop(own)
    arrays = match_inputs(calibration, specs, "calibration", in_order=True)
    batch = next(iter(specs.values()))[0] or 1
    count = len(next(iter(arrays.values())))
    if count < batch:
        raise ValueError(
            f"`calibration` must hold at least one batch of the model, {batch} samples. Received "
            f"{count}"
        )
    dtypes = {
        name: keras.backend.standardize_dtype(tensor.dtype)
        for name, tensor in zip(specs, model.inputs, strict=True)
    }
    np.savez(folder / "calibration.npz", **{n: a.astype(dtypes[n]) for n, a in arrays.items()})


def _run(folder: Path, model: keras.Model) -> None:
    try:
        run_module("converters.worker", str(folder))
    except ChildError as error:
        marker = folder / "current"
        current = marker.read_text() if marker.exists() else "start-up"
        raise ConversionError(
            f"converting model {model.name!r} to {current} failed: {error}", error.output
        ) from None


def _warn_of_leftovers(name: str, flatbuffer: Flatbuffer) -> None:
    """Say aloud what a format left in float."""
    report = inspect(flatbuffer)
    if FORMATS[name].integer and not any(d.startswith("int") for d in report.op_dtypes):
        raise ConversionError(f"{name}: the converter left every op in float: {report.op_dtypes}")
    if FORMATS[name].integer and report.float_islands:
        islands = ", ".join(f"{op.name} ({op.outputs[0]})" for op in report.float_islands)
        warnings.warn(f"{name}: these ops stayed float: {islands}", stacklevel=3)
    if name == "dynamic" and not any(w.dtype == "int8" for w in report.weights):
        warnings.warn(
            "dynamic: no weight became int8, the file is as large as float32 (LiteRT leaves "
            "weights under 1,024 elements alone); int8 quantises all",
            stacklevel=3,
        )

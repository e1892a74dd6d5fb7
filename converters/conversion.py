"""`convert`: a Keras model, or a float flatbuffer, to LiteRT flatbuffers of many formats."""

import json
import os
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np

from converters.calibration import check_estimator
from converters.calibration.sample_scale import scale_notes
from converters.calibration.streams import CalibrationData
from converters.checks import read_checks
from converters.child import ChildError, why_it_failed
from converters.errors import ConversionError, first_line, lacking_op
from converters.file_kinds import may_be_quantization_aware
from converters.flatbuffer import Flatbuffer
from converters.fork_server import Server
from converters.formats import FORMATS, check_formats
from converters.judgement import judged, rounded_away
from converters.legacy.traced import foreign_variables
from converters.progress import progress_of
from converters.saved_model import named_outputs, save_for_conversion
from converters.servers import SERVERS
from converters.source import Convertible, Source, as_source
from converters.source_samples import NO_SAMPLES, calibration_samples, probe_samples
from converters.temporary import temporary_folder
from converters.unrolling import unrolled
from converters.weights import BLOCKS, FEWEST_ELEMENTS

# A learned range that clips a larger share of what passed is spoken of; so many are named.
_CLIPPED_SHARE, _NAMED_RANGES = 0.003, 3


def convert(
    model: Convertible,
    formats: str | Sequence[str] = ("float32",),
    calibration: CalibrationData | Mapping[str, CalibrationData | None] | None = None,
    edges: str = "integer",
    estimator: str | Mapping[str, str] = "minmax",
    symmetric: bool = False,
    block: int | None = None,
    sparse: bool = False,
) -> dict[str, Flatbuffer]:
    """The model as LiteRT flatbuffers, one per format.

    The model is converted once; every format is made from that float flatbuffer, integer ones
    with the ranges of one calibration. All of it runs in a process of its own, which stays for the
    next call, as TensorFlow takes seconds to load: when native code crashes, the caller gets an
    error. Shapes are fixed at batch 1, so that microcontroller runtimes can run the files.

    Example:
        >>> models = convert(model, ["float32", "int8"], calibration=x_train[:200])
        >>> models["int8"].save("model.tflite")
        >>> convert("float.tflite", ["int16x8"], calibration="samples.npz")
        >>> convert(ek.quantize_aware(model), ["int8"])      # once trained: ranges are learned

    Args:
        model: A built Functional or Sequential model, one of legacy tf_keras (of any kind, once
            built; one that TensorFlow Model Optimization made quantisation-aware too), the path
            of a model's file as for `load_model`, the folder of a SavedModel with a graph alone
            (as `model.export` writes it), or a float flatbuffer or its path. A model from
            `ek.quantize_aware` converts to the format it was trained for, with the ranges it
            learned. A model of `ek.tfmot` in a process of its own is converted there.
        formats: Names out of `FORMATS`. Defaults to `("float32",)`.
        calibration: Samples like those the model will see, which integer formats need to
            measure ranges: a `(samples, ...)` array, or one per input as a list or dict by name;
            `(x, y)` of these; a list of batches or samples; a stream of batches or `(x, y)`, as a
            `tf.data.Dataset`, a `keras.utils.PyDataset`, a generator, or a function without
            arguments that returns one (a `representative_dataset`); the path of a `.npy` or
            `.npz` file, in which an array named as the input, `x`, `x_train`, or the only one is
            taken; or a folder of images, whose pixels are 0 to 255 as Keras's own image datasets
            give them. A few hundred are enough; of streams and folders 1,000 are used. For a
            flatbuffer with several signatures a dict of these by signature, with None for one that
            is to stay float32; or a dict by input name that has the inputs of all. Defaults to
            `None`.
        edges: What goes in and comes out of an integer file: `"integer"`, or `"float32"` with
            a quantising op at each edge. Defaults to `"integer"`.
        estimator: How ranges come from samples: `"minmax"`, `"ema"`, `"percentile"`, `"mse"`,
            `"entropy"`, or `{regex on tensor names: one of these}`. Defaults to `"minmax"`.
        symmetric: Whether zero is the middle of an activation's integers, as some accelerators
            ask. Defaults to `False`.
        block: 32, 64, 128 or 256: so many weights share a scale in the Dense kernels of
            `dynamic_int4`, whose inputs must be a multiple of it. Defaults to `None`: a scale per
            channel.
        sparse: Whether kernels that are mostly zero, as pruning leaves them, are stored sparse
            where that is smaller and LiteRT runs it. Microcontroller runtimes do not. Whether it
            is faster too depends on the net and the processor: `check.notes` says what keeps it
            from being so. Defaults to `False`.

    Returns:
        `{format: Flatbuffer}` in the order asked for. Each was loaded and run, and its `check`
        says how it compares with the model.

    Raises:
        ValueError: An unknown format or option, an integer format without calibration, unusable
            samples, a quantisation-aware model that has not trained or is asked for another
            format, a flatbuffer that is quantised already, open shapes.
        ConversionError: The model cannot be converted, the converter crashed, or a format
            changed nothing.
    """
    formats = check_formats(formats)
    check_estimator(estimator)
    _check_options(formats, edges, symmetric, block, sparse)
    options = {
        "edges": edges,
        "estimator": estimator,
        "symmetric": symmetric,
        "block": block,
        "sparse": sparse,
    }
    if hasattr(model, "convert"):  # it lives in a process of its own
        return model.convert(formats, calibration, **options)
    if isinstance(model, (str, os.PathLike)) and not may_be_quantization_aware(model):
        _check_calibration(formats, calibration)  # before the model is loaded
    source = as_source(model)
    quantization_aware = False
    if source.model is not None:
        _check_weights(source.model)
        quantization_aware = _check_ranges(source.model, formats)
    if not quantization_aware:
        _check_calibration(formats, calibration)
        _check_sizes(source, formats)
    job = {"formats": formats, "quantization_aware": quantization_aware, **options}
    integer = not quantization_aware and any(FORMATS[f].integer for f in formats)
    with (
        _quantized_by_keras(source),
        done_job(source, job, calibration if integer else None) as done,
    ):
        checks = read_checks(done.folder / "checks.json")
        contents = {name: (done.folder / f"{name}.tflite").read_bytes() for name in formats}
    for note in done.notes:
        warnings.warn(note, stacklevel=2)
    clipping = _clipping(source.model) if quantization_aware else []
    recurrent = quantization_aware and _has_loops(source.model)
    for note in clipping:
        warnings.warn(note, stacklevel=2)
    files, order = {}, None if source.model is None else list(source.shapes)
    for name in formats:  # a loop, so that warnings are of the caller's line
        integer = FORMATS[name].integer
        said = [*done.notes, *done.shared, *clipping] if integer else []
        files[name] = judged(
            name,
            contents[name],
            checks[name],
            done.loops,
            sparse,
            said=said,
            order=order,
            left=done.left,
            recurrent=recurrent,
        )
    return files


def _has_loops(model: keras.Model) -> bool:
    return any(isinstance(layer, keras.layers.RNN) for layer in model._flatten_layers())


@dataclass(frozen=True)
class DoneJob:
    """What came of a job.

    Attributes:
        folder: Where the worker left its files.
        loops: Names of the layers that were unrolled.
        notes: What seems wrong with the samples.
        left: Signatures that stay float32 as the caller wants it.
        shared: Which signatures were calibrated with another's samples, in words.
    """

    folder: Path
    loops: list[str]
    notes: list[str]
    left: list[str]
    shared: list[str]


@contextmanager
def done_job(source: Source, job: dict, calibration: CalibrationData | None) -> Iterator["DoneJob"]:
    """What the worker made of a job.

    Args:
        source: The model.
        job: What `converters.worker.Job` reads as `job.json`.
        calibration: As in `convert`; `None` where no ranges are measured.

    Raises:
        ValueError: Unusable samples.
        ConversionError: The worker failed or crashed.
    """
    kind = "flatbuffer" if source.model is None else "keras"
    with (
        temporary_folder("convert") as folder,
        SERVERS[kind].server() as server,  # loads TensorFlow meanwhile, once
    ):
        found = NO_SAMPLES
        notes: list[str] = []
        if calibration is not None:
            found = calibration_samples(source, calibration)
        loops = _write_model(folder, source, unroll=calibration is not None)
        signatures = {each.signature: each for each in (source, *source.others)}
        for number, (key, each) in enumerate(signatures.items()):
            if key in found.samples:
                np.savez(folder / f"calibration_{number}.npz", **found.samples[key])
            inputs = probe_samples(each, found.samples.get(key))
            if inputs is not None:
                np.savez(folder / f"probe_{number}.npz", **inputs)
        samples = found.samples.get(source.signature)
        inputs = probe_samples(source, samples)
        if inputs is None:
            raise ValueError(
                f"{source.name} takes {', '.join(source.dtypes.values())}: not numbers"
            )
        job = {
            **job,
            "model": "keras" if source.model is not None else "flatbuffer",
            "signatures": list(signatures),
            "calibrated": list(found.samples),
        }
        (folder / "job.json").write_text(json.dumps(job))

        def ask_the_model() -> None:
            if source.model is None:
                return
            notes.extend(_write_expected(folder, source, inputs, random=samples is None))
            if samples is not None:
                notes.extend(scale_notes(source.model, samples, found.pixels))

        _run(server, folder, source, ask_the_model)
        yield DoneJob(folder, loops, notes, found.left, found.shared)


@contextmanager
def _quantized_by_keras(source: Source) -> Iterator[None]:
    """Say of a failure within that Keras has quantized the model itself, if it has."""
    try:
        yield
    except ConversionError as error:
        layers = [] if source.model is None else source.model._flatten_layers()
        for layer in layers:
            mode = getattr(layer, "quantization_mode", None)
            if mode is not None:
                raise ConversionError(
                    f"layer {layer.name} of {source.name} has been quantized to {mode} by Keras's "
                    "own `quantize`, whose operations LiteRT's converter does not know: start from "
                    "the float model, the formats here quantize it"
                ) from error
        raise


def _check_options(formats, edges, symmetric, block, sparse) -> None:
    if edges not in ("integer", "float32"):
        raise ValueError(f"`edges` must be 'integer' or 'float32'. Received: edges={edges!r}")
    for name, value in (("symmetric", symmetric), ("sparse", sparse)):
        if not isinstance(value, bool):
            raise ValueError(f"`{name}` must be True or False. Received: {name}={value!r}")
    if block not in (None, *BLOCKS):
        raise ValueError(f"`block` must be one of {BLOCKS} or None. Received: block={block!r}")
    if block is not None and "dynamic_int4" not in formats:
        raise ValueError(
            f"`block` is for the format dynamic_int4: LiteRT computes no other by blocks. "
            f"Received: formats={formats}"
        )


def _check_sizes(source: Source, formats: list[str]) -> None:
    """Refuse a format that can do nothing before the work for the others."""
    wanted = [f for f in formats if not FORMATS[f].integer and FORMATS[f].weights < 16]
    if wanted and source.largest_weight < FEWEST_ELEMENTS:
        raise ConversionError(
            f"{', '.join(wanted)}: no weight became smaller, the largest has "
            f"{source.largest_weight:,} elements (kernels under {FEWEST_ELEMENTS:,} elements are "
            "left alone); int8 quantises all"
        )


def _check_calibration(formats: list[str], calibration) -> None:
    integer = [f for f in formats if FORMATS[f].integer]
    if integer and calibration is None:
        raise ValueError(
            f"{', '.join(integer)} needs `calibration`: samples to measure activation ranges "
            "(a few hundred inputs), or a model trained with ek.quantize_aware"
        )


def _write_model(folder: Path, source: Source, unroll: bool) -> list[str]:
    """Put the float model where the worker looks; names of the layers unrolled for integers."""
    if source.flatbuffer is not None:
        (folder / "float.tflite").write_bytes(source.flatbuffer.content)
        return []
    save_for_conversion(source.model, folder / "float")
    if unroll:
        with unrolled(source.model) as layers:
            if layers:
                save_for_conversion(source.model, folder / "unrolled")
            return [layer.name for layer in layers]
    return []


def _check_weights(model: keras.Model) -> None:
    for variable in (*model.variables, *foreign_variables(model)):
        values = np.asarray(variable)
        if np.issubdtype(values.dtype, np.floating) and not np.isfinite(values).all():
            name = getattr(variable, "path", variable.name)
            raise ValueError(
                f"weight {name!r} holds NaN or infinite values: the model, or data it was trained "
                "on, is broken"
            )


def _check_ranges(model: keras.Model, formats: list[str]) -> bool:
    """Whether the model is quantisation-aware; errors where its ranges do not fit the formats."""
    # Any layer that says what it rounds takes part; edgekit's do.
    rounding = defaultdict(list)
    for layer in model._flatten_layers(include_self=False):
        if hasattr(layer, "rounds"):
            rounding[layer.rounds].append(layer)
    if rounding["activations"]:
        trained_for = _trained_for(rounding)
        unfit = [f for f in formats if f not in trained_for]
        if unfit:
            choice = " or ".join(map(repr, trained_for))
            raise ValueError(
                f"a model trained for {' and '.join(trained_for)} cannot become "
                f"{', '.join(unfit)}: convert it to {choice}, or {_strip_of(rounding)}(model) to "
                "other formats"
            )
        blank = [layer.name for layer in rounding["activations"] if not layer.calibrated]
        if blank:
            raise ValueError(
                f"{len(blank)} activation ranges have seen no finite data, the first is "
                f"{blank[0]!r}: train the quantisation-aware model before converting it"
            )
        return True
    return False


def _clipping(model: keras.Model) -> list[str]:
    """What to say of learned ranges that cut off much of what passed them in training."""
    shares = {
        layer.path: layer.clipped
        for layer in model._flatten_layers(include_self=False)
        if getattr(layer, "clipped", 0.0) > _CLIPPED_SHARE
    }
    if not shares:
        return []
    worst = sorted(shares.items(), key=lambda item: -item[1])[:_NAMED_RANGES]
    named = ", ".join(f"{path} ({share:.1%})" for path, share in worst)
    return [
        f"{len(shares)} learned ranges clip more than {_CLIPPED_SHARE:.1%} of what passed in "
        f"training, most of all {named}: train on with estimator='recent', the default, or with "
        "ranges that are not frozen so early, unless clipping is what you want"
    ]


def _strip_of(rounding: dict[str, list]) -> str:
    return next((x.strip for x in rounding["activations"] if hasattr(x, "strip")), "ek.strip")


def _trained_for(rounding: dict[str, list]) -> list[str]:
    """The formats that the model was made for: several if its parts were made for different ones.

    Fewer bits in some kernels make it a model of fewer bits.
    """
    asked = {layer.format for layer in rounding["activations"] if getattr(layer, "format", None)}
    if "int4" in asked or not asked and any(layer.bits != 8 for layer in rounding["weights"]):
        return ["int4"]
    if asked:
        return [name for name in FORMATS if name in asked]
    # Saved before layers said it. Some activations have 16 bits inside of an int8 model too.
    widths = Counter(layer.bits for layer in rounding["activations"])
    return ["int16x8" if widths[16] > widths[8] else "int8"]


def _write_expected(folder: Path, source: Source, inputs: dict, random: bool) -> list[str]:
    """What the Keras model says to the samples; the worker waits for it.

    Returns:
        Notes on what the model's own rounding takes from its outputs.
    """
    parts = []
    whole = len(next(iter(inputs.values())))
    step = source.batch if source.batch > 1 else whole
    for start in range(0, whole, step):
        batch = [array[start : start + step] for array in inputs.values()]
        try:
            with keras.StatelessScope():  # a layer that keeps a state stays as it is
                parts.append(named_outputs(source.model, batch))
        except Exception as error:  # of every kind, as layers please
            what = "random samples" if random else "`calibration`"
            raise ValueError(f"{source.name} fails on {what}: {first_line(error)}") from None
    outputs = _joined(parts)
    np.savez(folder / "unfinished.npz", **outputs)
    (folder / "unfinished.npz").rename(folder / "expected.npz")
    # A quantization-aware model's rounded tensors remember what they come from.
    before = [{n: getattr(t, "_edgekit_unrounded", None) for n, t in p.items()} for p in parts]
    return rounded_away(_joined(before), outputs)


def _joined(parts: list[dict]) -> dict[str, np.ndarray]:
    """`{name: values}` of all parts, without the names that have none."""
    named = {name: [part[name] for part in parts] for name in parts[0]}
    return {
        name: np.concatenate([np.asarray(tensor) for tensor in tensors])
        for name, tensors in named.items()
        if all(tensor is not None for tensor in tensors)
    }


def _run(server: Server, folder: Path, source: Source, beside: Callable[[], None]) -> None:
    try:
        with progress_of(folder) as watch:
            status = server.run({"folder": str(folder)}, watch, beside)
        output = (folder / "output").read_text(errors="replace")
        reason = why_it_failed(status, output)
    except ChildError as error:
        reason, output = str(error), error.output
    if reason:
        reason = reason.removeprefix(f"{ConversionError.__module__}.{ConversionError.__name__}: ")
        reason = lacking_op(reason) or reason
        marker = folder / "current"
        current = marker.read_text() if marker.exists() else "start-up"
        raise ConversionError(f"converting {source.name} to {current} failed: {reason}", output)

"""The samples that a model on its way to flatbuffers is calibrated and tried on."""

import warnings
from dataclasses import dataclass

import numpy as np

from converters.calibration.signatures import OutputsOf, SameAs, samples_by_signature
from converters.calibration.streams import read_samples
from converters.checks import SAMPLES, probe
from converters.source import Source

# Kinds of NumPy dtypes that random samples can have.
_NUMBERS = "biuf"


@dataclass(frozen=True)
class CalibrationSamples:
    """What ranges are measured on.

    Attributes:
        samples: `{signature: {input name: (samples, ...)}}`, in the order to run them.
        pixels: Float inputs of a Keras model whose samples were bytes.
        left: Signatures that stay float32 as the caller wants it.
        shared: Which signatures have another's samples, in words.
    """

    samples: dict[str | None, dict[str, np.ndarray]]
    pixels: list[str]
    left: list[str]
    shared: list[str]


NO_SAMPLES = CalibrationSamples({}, [], [], [])


def calibration_samples(source: Source, data) -> CalibrationSamples:
    """The samples of each signature that is to be quantized.

    Args:
        source: The model.
        data: What `convert` takes as `calibration`.

    Raises:
        ValueError: Unusable samples, or a signature has none.
    """
    if source.signature is None:
        samples, pixels = _samples_of(source, data)
        return CalibrationSamples({None: samples}, pixels, [], [])
    sources = {each.signature: each for each in (source, *source.others)}
    calls = {key: each.calls for key, each in sources.items()}
    given = samples_by_signature(data, calls)
    found = {}
    for key, samples in given.items():
        if samples is not None and not isinstance(samples, (SameAs, OutputsOf)):
            try:
                found[key] = _samples_of(sources[key], samples)[0]
            except ValueError as error:
                raise ValueError(
                    f"signature {key!r}: {error}" if source.others else error
                ) from None
    shared = []
    for key, way in given.items():
        if isinstance(way, SameAs):
            arrays = found[way.signature]
            shared.append(
                f"signature {key!r} was calibrated with the samples of {way.signature!r}, whose "
                "inputs have the same names and shapes"
            )
        elif isinstance(way, OutputsOf):
            arrays = source.flatbuffer.outputs(found[way.signature], signature=way.signature)
            shared.append(
                f"signature {key!r} was calibrated with what {way.signature!r} gives as "
                f"{', '.join(sources[key].shapes)}"
            )
        else:
            continue
        dtypes = sources[key].dtypes
        found[key] = {name: arrays[name].astype(dtype) for name, dtype in dtypes.items()}
    left = [key for key, samples in given.items() if samples is None and calls[key].floats]
    return CalibrationSamples(found, [], left, shared)


def _samples_of(source: Source, data) -> tuple[dict[str, np.ndarray], list[str]]:
    """Samples as the model takes them, and the float inputs whose samples were bytes."""
    if not source.shapes:
        return {}, []
    in_order = source.model is not None
    arrays = read_samples(data, source.shapes, in_order, source.aliases)
    count = next((len(array) for array in arrays.values() if array.ndim), 1)
    if count < source.batch:
        raise ValueError(
            f"`calibration` must hold at least one batch of the model, {source.batch} samples. "
            f"Received {count}"
        )
    for name, array in arrays.items():
        if np.issubdtype(array.dtype, np.floating) and np.ptp(array) == 0:
            warnings.warn(
                f"`calibration` gives input {name!r} nothing but {array.flat[0]:g}: ranges "
                "measured on it say little",
                stacklevel=6,
            )
    typed = {name: array.astype(source.dtypes[name]) for name, array in arrays.items()}
    pixels = [
        name
        for name, array in arrays.items()
        if array.dtype == np.uint8 and typed[name].dtype.kind == "f"
    ]
    return typed, pixels


def probe_samples(source: Source, samples) -> dict[str, np.ndarray] | None:
    """A few samples, on which every file is run.

    Args:
        source: The model.
        samples: `{input name: (samples, ...)}`; None for random ones.

    Returns:
        Whole batches; None where an input takes none that can be random, as text.
    """
    if samples is None:
        if not all(map(_is_number, source.dtypes.values())):
            return None
        samples = probe(source.shapes, source.dtypes, max(source.batch, SAMPLES))
    counts = [min(len(a), max(source.batch, SAMPLES)) for a in samples.values() if a.ndim]
    whole = next(iter(counts), 1) // source.batch * source.batch
    return {name: array[:whole] if array.ndim else array for name, array in samples.items()}


def _is_number(dtype: str) -> bool:
    try:
        return np.dtype(dtype).kind in _NUMBERS
    except TypeError:  # of LiteRT alone, as "string" or "resource"
        return False

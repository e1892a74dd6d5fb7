"""Calibration samples as people bring them: arrays, streams of batches, folders of images."""

import inspect
import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import count

import numpy as np

from converters.samples import LEARNS, Samples, fits_batch, fits_sample, match_inputs

# Of a stream, which may be endless.
MOST_SAMPLES = 1000

CalibrationData = Samples | Iterable | Callable[[], Iterable]


def read_samples(
    data: CalibrationData,
    shapes: Mapping[str, tuple],
    in_order: bool,
    aliases: Mapping[str, str] | None = None,
) -> dict[str, np.ndarray]:
    """The samples as one array per input name.

    Args:
        data: What `match_inputs` takes, with labels beside it or without, as `(x, y)`; a list of
            batches or samples; a stream of such, as a `tf.data.Dataset`, a `keras.utils.PyDataset`,
            a generator, a function without arguments that returns one (a `representative_dataset`
            of TensorFlow), or anything that can be iterated over; or the path of a folder of
            images. An element of a stream is a batch or a sample: an array, one per input as a
            list or a dict by name, or `(x, y)` of any of these. Of streams and folders the first
            1,000 samples are used.
        shapes: `{input name: shape with batch}`.
        in_order: As in `match_inputs`.
        aliases: `{another name of an input: its name}`. Defaults to none.

    Raises:
        ValueError: Empty, NaN or infinite samples, wrong shapes, names or counts, no images.
    """
    if isinstance(data, (str, os.PathLike)):
        return match_inputs(data, shapes, "calibration", in_order, LEARNS)
    data = getattr(data, "input_gen", data)  # of a tf.lite.RepresentativeDataset
    if callable(data) and not hasattr(data, "__array__"):
        data = _called(data)
    elements = _Elements(shapes, aliases or {})
    if isinstance(data, (list, tuple)):
        data = elements.from_list(data)
    elif isinstance(data, Mapping):
        data = elements.by_name(data)
    elif not hasattr(data, "__array__"):
        data = elements.collected(_iterated(data))
    return match_inputs(data, shapes, "calibration", in_order, LEARNS)


def _called(function: Callable) -> Iterable:
    """What a function without arguments returns."""
    try:
        inspect.signature(function).bind()
    except TypeError:
        raise ValueError(
            f"`calibration` is a function that needs arguments, {_name(function)}: pass one that "
            "takes none and returns a generator of batches"
        ) from None
    except ValueError:
        pass  # native code that has no signature
    found = function()
    if found is None:
        raise ValueError(
            f"`calibration` is a function that returned nothing, {_name(function)}: it must yield "
            "batches"
        )
    return found


def _name(function: Callable) -> str:
    return getattr(function, "__name__", type(function).__name__)


def _iterated(stream) -> Iterator:
    """The elements of anything that can be iterated over or asked for the i-th."""
    if hasattr(stream, "__getitem__") and hasattr(stream, "__len__"):  # as a PyDataset
        length = getattr(stream, "num_batches", None) or len(stream)
        return (stream[i] for i in range(length))
    if hasattr(stream, "__getitem__") and getattr(stream, "num_batches", 0) is None:
        return (stream[i] for i in count())
    if isinstance(stream, Iterable):
        return iter(stream)
    raise ValueError(
        "`calibration` must be arrays, a stream of batches such as a tf.data.Dataset, a generator "
        "or a function that returns one, a .npy or .npz file, or a folder of images. Received: "
        f"{type(stream).__name__}"
    )


class _Elements:
    """Elements of streams, as `{input name: array}`.

    Args:
        shapes: `{input name: shape with batch}`.
        aliases: `{another name of an input: its name}`.
    """

    def __init__(self, shapes: Mapping[str, tuple], aliases: Mapping[str, str]):
        self.shapes, self.aliases = shapes, aliases

    def by_name(self, element: Mapping) -> dict:
        """The arrays by the names in `shapes`."""
        return {self.aliases.get(name, name): array for name, array in element.items()}

    def from_list(self, data: list | tuple):
        """A list or tuple: all samples, as an element of a stream has some, or the elements."""
        if not data:
            raise ValueError("`calibration` is empty")
        if len(self.shapes) == 1 and not any(isinstance(part, Mapping) for part in data):
            (shape,) = self.shapes.values()
            if fits_batch(data, shape):  # samples, or numbers in nested lists
                return data
        # In a tuple what stands beside the samples are labels, even where they have their shape.
        if isinstance(data, list) and all(self.batch(part) is not None for part in data):
            return self.collected(iter(data))
        whole = self.batch(data)
        if whole is None and len(data) == len(self.shapes) and _fits_otherwise(data, self.shapes):
            raise ValueError(_misfit(data, self.shapes, self.by_name))
        return self.collected(iter(data)) if whole is None else whole

    def batch(self, element, fits: Callable = fits_batch) -> dict | None:
        """The arrays of an element, labels left out; None where they do not fit."""
        names = list(self.shapes)
        if isinstance(element, Mapping):
            element = self.by_name(element)
            if any(name not in element for name in names):
                return None
            element = [element[name] for name in names]
        elif not isinstance(element, (list, tuple)):
            element = [element]
        if len(element) == len(names) and all(map(fits, element, self.shapes.values())):
            return dict(zip(names, map(np.asarray, element), strict=True))
        if 2 <= len(element) <= 3:  # (x, y) or (x, y, weights), as for fit
            return self.batch(element[0], fits)
        return None

    def collected(self, stream: Iterator) -> dict[str, np.ndarray]:
        """All of the elements, up to `MOST_SAMPLES` samples."""
        parts: list[dict[str, np.ndarray]] = []
        samples = 0
        for element in stream:
            batch = self.batch(element)
            if batch is None and (sample := self.batch(element, fits_sample)) is not None:
                batch = {name: values[None] for name, values in sample.items()}
            if batch is None:
                raise ValueError(_misfit(element, self.shapes, self.by_name))
            parts.append(batch)
            samples += len(next(iter(batch.values())))
            if samples >= MOST_SAMPLES:
                break
        if not samples:
            raise ValueError("`calibration` is empty: the stream gave no samples")
        try:
            return {
                name: np.concatenate([part[name] for part in parts])[:MOST_SAMPLES]
                for name in self.shapes
            }
        except ValueError as error:
            raise ValueError(f"`calibration` gives batches of different shapes: {error}") from None


def _misfit(element, shapes: Mapping[str, tuple], by_name: Callable) -> str:
    """What an element is, and what it should be, in one sentence."""
    wanted = ", ".join(f"{name!r} {_shape(shape)}" for name, shape in shapes.items())
    if isinstance(element, Mapping):
        element = by_name(element)
        if any(name not in element for name in shapes):
            return (
                f"`calibration` must give arrays named {list(shapes)}. Received names: "
                f"{list(element)}"
            )
        element = [element[name] for name in shapes]
    if len(shapes) > 1 and not isinstance(element, (list, tuple)):
        return (
            f"`calibration` must give an array for each of the inputs {list(shapes)}. Received one "
            f"array of shape {np.shape(element)}"
        )
    found = element if isinstance(element, (list, tuple)) else [element]
    if len(found) == len(shapes) > 1 and _fits_otherwise(found, shapes):
        return (
            f"`calibration` gives its arrays in another order than the model's inputs, {wanted}: "
            "pass them in this order, or as a dict by name"
        )
    return f"`calibration` must give arrays for {wanted}. Received {_described(found)}"


def _fits_otherwise(arrays, shapes: Mapping[str, tuple]) -> bool:
    """Whether each array fits some input, in another order."""
    left = list(shapes.values())
    for array in arrays:
        place = next((i for i, s in enumerate(left) if fits_batch(array, s)), None)
        if place is None:
            return False
        del left[place]
    return True


def _shape(shape: tuple) -> str:
    return f"({', '.join(['samples', *('any' if n is None else str(n) for n in shape[1:])])})"


def _described(arrays) -> str:
    found = []
    for array in arrays:
        try:
            values = np.asarray(array)
            if values.dtype == object:
                found.append(type(array).__name__)
            else:
                found.append(f"{values.dtype} of shape {values.shape}")
        except ValueError:  # parts of different lengths
            found.append(type(array).__name__)
    return ", ".join(found[:4]) + (", …" if len(found) > 4 else "")

"""Calibration samples from wherever users have them: arrays, files, streams, folders of images."""

import os
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from pathlib import Path

import numpy as np

from converters.samples import Samples, match_inputs

# Of a stream, which may be endless, and of a folder.
MOST_SAMPLES = 1000
_IMAGES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")

CalibrationData = Samples | Iterable


def read_samples(
    data: CalibrationData, shapes: Mapping[str, tuple], in_order: bool
) -> dict[str, np.ndarray]:
    """The samples as one array per input name.

    Args:
        data: What `match_inputs` takes; a `tf.data.Dataset`, generator or other iterator whose
            elements are batches or samples, alone or as `(x, y)`; or the path of a folder of
            images. Of the last two the first 1,000 samples are used.
        shapes: `{input name: shape with batch}`.
        in_order: As in `match_inputs`.

    Raises:
        ValueError: Empty, NaN or infinite samples, wrong shapes, names or counts, no images.
    """
    if isinstance(data, (str, os.PathLike)) and Path(data).is_dir():
        data = _images(Path(data), shapes)
    elif isinstance(data, Iterator) or hasattr(data, "element_spec"):
        data = _collect(data, shapes)
    return match_inputs(data, shapes, "calibration", in_order)


def _collect(stream, shapes: Mapping[str, tuple]) -> dict[str, np.ndarray]:
    parts: dict[str, list[np.ndarray]] = {name: [] for name in shapes}
    count = 0
    for element in stream:
        batch = _named(element, list(shapes))
        for name, values in batch.items():
            values = np.asarray(values)
            if values.dtype == object or values.ndim < len(shapes[name]) - 1:
                raise ValueError(
                    f"`calibration` must give arrays of shape {shapes[name][1:]} for {name!r}. "
                    f"Received {type(element).__name__} with {np.shape(values)}"
                )
            if values.ndim == len(shapes[name]) - 1:  # one sample
                values = values[None]
            parts[name].append(values)
        count += len(next(iter(parts.values()))[-1])
        if count >= MOST_SAMPLES:
            break
    if not count:
        raise ValueError("`calibration` is empty: the stream gave no samples")
    try:
        return {name: np.concatenate(p)[:MOST_SAMPLES] for name, p in parts.items()}
    except ValueError as error:
        raise ValueError(f"`calibration` gives batches of different shapes: {error}") from None


def _named(element, names: list[str]) -> dict:
    if isinstance(element, tuple):  # (x, y) or (x, y, weights), as for fit
        element = element[0]
    if isinstance(element, Mapping):
        missing = [name for name in names if name not in element]
        if missing:
            raise ValueError(
                f"`calibration` must give arrays named {names}. Received names: {list(element)}"
            )
        return {name: element[name] for name in names}
    inputs = list(element) if isinstance(element, (list, tuple)) else [element]
    if len(inputs) != len(names):
        raise ValueError(
            f"`calibration` must give an array for each of the inputs {names}. Received "
            f"{len(inputs)} in an element"
        )
    return dict(zip(names, inputs, strict=True))


def _images(folder: Path, shapes: Mapping[str, tuple]) -> np.ndarray:
    """`(images, height, width, channels)`, 0 to 255, as Keras's own image datasets are."""
    (shape, *more) = shapes.values()
    if more or len(shape) != 4 or shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"`calibration` is a folder of images, {folder}, but the model's inputs are "
            f"{dict(shapes)}: pass arrays"
        )
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            "reading images needs Pillow: pip install 'edgekit-keras[images]'"
        ) from None
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _IMAGES)
    if not paths:
        raise ValueError(f"`calibration` folder {folder} holds no images ({', '.join(_IMAGES)})")
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[shape[-1]]
    found = []
    for path in islice(_spread(paths), MOST_SAMPLES):
        try:
            with Image.open(path) as image:
                pixels = image.convert(mode).resize((shape[2], shape[1]), Image.BILINEAR)
        except OSError as error:
            raise ValueError(f"`calibration` image {path} cannot be read: {error}") from None
        found.append(np.asarray(pixels, "float32").reshape(shape[1:]))
    return np.stack(found)


def _spread(paths: list[Path]) -> list[Path]:
    """Some of all folders, where there are too many: classes are folders as a rule."""
    step = max(len(paths) // MOST_SAMPLES, 1)
    return paths[::step]

"""A folder of images as samples."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

MOST_IMAGES = 1000
_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")


def read_images(folder: Path, shapes: Mapping[str, tuple], argument: str) -> np.ndarray:
    """`(images, height, width, channels)`, 0 to 255, as Keras's own image datasets are.

    Where there are more than 1,000, some of all folders in it are taken: classes are folders as a
    rule.

    Args:
        folder: With images in it, or in folders in it.
        shapes: `{input name: shape with batch}`, of one input.
        argument: What the error messages call the samples.

    Raises:
        ValueError: No images, one that cannot be read, or a model that takes something else.
    """
    (shape, *more) = shapes.values()
    if more or len(shape) != 4 or shape[-1] not in (1, 3, 4):
        raise ValueError(
            f"`{argument}` is a folder of images, {folder}, but the model's inputs are "
            f"{dict(shapes)}: pass arrays"
        )
    try:
        from PIL import Image
    except ImportError:
        raise ValueError(
            "reading images needs Pillow: pip install 'edgekit-keras[images]'"
        ) from None
    paths = sorted(p for p in folder.rglob("*") if p.suffix.lower() in _SUFFIXES)
    if not paths:
        raise ValueError(f"`{argument}` folder {folder} holds no images ({', '.join(_SUFFIXES)})")
    mode = {1: "L", 3: "RGB", 4: "RGBA"}[shape[-1]]
    found = []
    for path in paths[:: max(len(paths) // MOST_IMAGES, 1)][:MOST_IMAGES]:
        try:
            with Image.open(path) as image:
                pixels = image.convert(mode).resize((shape[2], shape[1]), Image.BILINEAR)
        except OSError as error:
            raise ValueError(f"`{argument}` image {path} cannot be read: {error}") from None
        found.append(np.asarray(pixels, "float32").reshape(shape[1:]))
    return np.stack(found)

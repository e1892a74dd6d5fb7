"""Features of one size: images averaged down, channels projected."""

import keras
import numpy as np
from keras import layers, ops

Shape = tuple[int | None, ...]


def one_extent(teacher, student):
    """Both features with the smaller height and width of the two; others as they are.

    Args:
        teacher: `(batch, height, width, channels)`, or of another rank.
        student: Alike.
    """
    if len(teacher.shape) != 4 or len(student.shape) != 4:
        return teacher, student
    if None in (*teacher.shape[1:3], *student.shape[1:3]):
        return teacher, student  # known only when they run, where sizes that differ are an error
    extent = tuple(map(min, teacher.shape[1:3], student.shape[1:3]))
    return _averaged(teacher, extent), _averaged(student, extent)


def projection_to(teacher: Shape, student: Shape) -> keras.layers.Layer | None:
    """A layer that gives the student's features as many channels as the teacher's have.

    None where they have as many.

    Args:
        teacher: Shape of the features, `(batch, …, channels)`.
        student: Alike.

    Raises:
        ValueError: They have different ranks, or sequences of different lengths.
    """
    check_places(teacher, student)
    if teacher[-1] == student[-1]:
        return None
    layer = layers.Dense(teacher[-1], use_bias=False, name="projection")
    layer.build((None, *student[1:]))
    return layer


def check_places(teacher: Shape, student: Shape) -> None:
    """Refuse features whose places are not those of each other.

    Raises:
        ValueError: They have different ranks, or sequences of different lengths.
    """
    if len(teacher) != len(student) or len(student) < 2:
        raise ValueError(f"features of shapes {student} and {teacher} cannot be compared")
    lengths = (student[1], teacher[1])
    if len(student) == 3 and None not in lengths and lengths[0] != lengths[1]:
        raise ValueError(f"sequences of {lengths[0]} and {lengths[1]} steps cannot be compared")


def _averaged(images, extent: tuple[int, int]):
    """Means over cells of equal size, of which neighbours may have a part of a pixel each."""
    for axis, size in enumerate(extent, 1):
        if images.shape[axis] != size:
            shares = ops.convert_to_tensor(_shares(images.shape[axis], size), images.dtype)
            images = ops.moveaxis(ops.tensordot(images, shares, [[axis], [0]]), -1, axis)
    return images


def _shares(pixels: int, cells: int) -> np.ndarray:
    """Which part of each cell each pixel is, `(pixels, cells)`."""
    edges = np.arange(cells + 1) * pixels / cells
    pixel = np.arange(pixels)[:, None]
    common = np.minimum(pixel + 1, edges[1:]) - np.maximum(pixel, edges[:-1])
    return np.maximum(common, 0) * cells / pixels

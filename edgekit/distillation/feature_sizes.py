"""Features of one size: images averaged down, channels projected."""

import keras
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
    if len(teacher) != len(student) or len(student) < 2:
        raise ValueError(f"features of shapes {student} and {teacher} cannot be compared")
    lengths = (student[1], teacher[1])
    if len(student) == 3 and None not in lengths and lengths[0] != lengths[1]:
        raise ValueError(f"sequences of {lengths[0]} and {lengths[1]} steps cannot be compared")
    if teacher[-1] == student[-1]:
        return None
    layer = layers.Dense(teacher[-1], use_bias=False, name="projection")
    layer.build((None, *student[1:]))
    return layer


def _averaged(images, extent: tuple[int, int]):
    height, width = images.shape[1:3]
    if (height, width) == extent:
        return images
    if height % extent[0] == 0 and width % extent[1] == 0:
        pool = (height // extent[0], width // extent[1])
        return ops.average_pool(images, pool, pool)
    return ops.image.resize(images, extent, antialias=True, data_format="channels_last")

"""Tensors stored as some of their values and where those are."""

import math

import numpy as np

# A damaged shape may claim any size.
_MOST_ELEMENTS = 2**28


def decode(values: np.ndarray, shape, order, block_map, levels) -> np.ndarray:
    """A sparse tensor made whole.

    Args:
        values: `(stored,)`.
        shape: Of the whole.
        order: The dimensions as they are walked, those of blocks last.
        block_map: The dimension that each block dimension divides.
        levels: For each walked dimension its size, or `(segments, indices)`.

    Raises:
        ValueError: They contradict each other.

    Source: LiteRT schema, SparsityParameters.
    """
    place, walked, sizes = np.zeros(1, np.int64), [], []
    if math.prod(shape) > _MOST_ELEMENTS:
        raise ValueError(f"sparse tensor of {math.prod(shape)} elements")
    for level in levels:
        if isinstance(level, int):
            if len(place) * level > math.prod(shape):
                raise ValueError("sparse tensor with levels larger than itself")
            counts, own = np.full(len(place), level), np.tile(np.arange(level), len(place))
            place = np.repeat(place * level, counts) + own
            sizes.append(level)
        else:
            segments, indices = (np.asarray(part, np.int64) for part in level)
            counts = np.diff(segments)
            if len(counts) != len(place) or (counts < 0).any() or segments[-1] != len(indices):
                raise ValueError("sparse tensor with segments that do not fit")
            place, own = np.arange(len(indices)), indices
            sizes.append(None)
        walked = [np.repeat(w, counts) for w in walked] + [own]
    if len(place) != len(values):
        raise ValueError(f"sparse tensor of {len(place)} places with {len(values)} values")
    coordinates = [np.zeros(len(values), np.int64)] * len(shape)
    for position, dimension in enumerate(order):
        if dimension < len(shape):
            coordinates[dimension] = walked[position]
    for block, dimension in enumerate(block_map):
        position = list(order).index(len(shape) + block)
        side = sizes[position]
        coordinates[dimension] = coordinates[dimension] * side + walked[position]
    whole = np.zeros(shape, values.dtype)
    try:
        whole[tuple(coordinates)] = values
    except IndexError as error:
        raise ValueError(f"sparse tensor with a value outside: {error}") from None
    return whole

"""The logistic function and its inverse in integers, the same on every machine."""

import numpy as np

from converters.packed.compiled import compiled

# 65536 / (1 + exp(-x)) for x from -8 to 8 in steps of a half.
# fmt: off
SQUASHED = np.array([
    22, 36, 60, 98, 162, 267, 439, 720, 1179, 1921, 3108, 4971, 7812, 11955, 17625, 24743, 32768,
    40793, 47911, 53581, 57724, 60565, 62428, 63615, 64357, 64816, 65097, 65269, 65374, 65438,
    65476, 65500, 65514,
], np.int64)
# fmt: on


@compiled
def squash(x: int, squashed: np.ndarray) -> int:
    """A probability in 1/65536 from its logit in 1/256."""
    x = min(max(x, -2047), 2047) + 2048
    place, part = x >> 7, x & 127
    return (int(squashed[place]) * (128 - part) + int(squashed[place + 1]) * part) >> 7


def _stretched() -> np.ndarray:
    """The logit, in 1/256, of each probability in 1/4096."""
    found, filled = np.full(4096, 2047, np.int64), 0
    for x in range(-2047, 2048):
        probability = squash(x, SQUASHED) >> 4
        found[filled : probability + 1] = x
        filled = max(filled, probability + 1)
    return found


STRETCHED = _stretched()

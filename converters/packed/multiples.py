"""Scales that are multiples of others: a bias's are the input's times the kernel's."""

import numpy as np

from converters.packed.constants import Constant
from converters.packed.container import Kind, Segment

_FEWEST = 8


def find_multiples(constants: list[Constant], content: bytes) -> list[Segment]:
    """The vectors of scales that need not be stored, since they are those of another tensor times
    a number, to the bit.

    Source: LiteRT 8-bit quantization specification: the scale of a bias is that of the input times
    that of the weight.
    """
    scales = [c for c in constants if c.scales and c.size >= 4 * _FEWEST]
    values = {c.start: np.frombuffer(content, "<f4", c.size // 4, c.start) for c in scales}
    found, made = [], set()
    for constant in scales:
        for other in scales:
            if other is constant or other.size != constant.size or other.start in made:
                continue
            factor = _factor(values[other.start], values[constant.start])
            if factor is not None and not any(s.source == constant.start for s in found):
                count = constant.size // 4
                found.append(
                    Segment(
                        constant.start, count, 4, Kind.SCALED, source=other.start, factor=factor
                    )
                )
                made.add(constant.start)
                break
    return found


def _factor(source: np.ndarray, goal: np.ndarray) -> bytes | None:
    """The float that makes the goal of the source, as bytes; None if there is none."""
    with np.errstate(all="ignore"):
        largest = int(np.argmax(np.abs(source)))
        if not source[largest] or not np.isfinite(source[largest]):
            return None
        near = np.float32(goal[largest] / source[largest])
        if not np.isfinite(near) or not np.isfinite(source * near).all():
            return None  # whose bits depend on the machine
        for factor in (
            near,
            np.nextafter(near, np.float32(0)),
            np.nextafter(near, np.float32(np.inf)),
        ):
            if np.array_equal((source * factor).view("u4"), goal.view("u4")):
                return factor.tobytes()
    return None

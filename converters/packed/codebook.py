"""The distinct values of a tensor, and each element as the number of one of them."""

from dataclasses import dataclass

import numpy as np

MOST = 256
# Marks in place of how many low bytes are left out.
_EVERY_BYTE, _SET_OF_BYTES = 255, 254
# With so many of all bytes in use, naming them costs more than leaving room for the others.
_NEARLY_EVERY = 192


@dataclass(frozen=True)
class Codebook:
    """Distinct values, the commonest first and the others ascending.

    Attributes:
        values: `(count, width)` uint8, each value's bytes, lowest first.
    """

    values: np.ndarray

    @property
    def negative(self) -> int:
        """How many values but the first have their highest bit set, as negative numbers do."""
        return int((self.values[1:, -1] >> 7).sum())

    def __len__(self) -> int:
        return len(self.values)

    def tobytes(self) -> bytes:
        """As it is stored."""
        count, width = self.values.shape
        if width == 1 and count == MOST and np.array_equal(self.values, _every_byte(0)):
            return bytes([count - 1, _EVERY_BYTE])
        if width == 1 and count > MOST // 8 + 1:
            member = np.zeros(MOST, np.uint8)
            member[self.values[:, 0]] = 1
            head = bytes([count - 1, _SET_OF_BYTES, self.values[0, 0]])
            return head + np.packbits(member).tobytes()
        low = 0
        while low < width - 1 and not self.values[:, low].any():
            low += 1
        return bytes([count - 1, low]) + self.values[:, low:].tobytes()


def read_codebook(data: np.ndarray, width: int) -> tuple[Codebook, int]:
    """The codebook at the begin of the data, and how many bytes it takes.

    Raises:
        ValueError: There is none.
    """
    if len(data) < 2:
        raise ValueError("it ends within a codebook")
    count, low = int(data[0]) + 1, int(data[1])
    if low == _EVERY_BYTE and width == 1 and count == MOST:
        return Codebook(_every_byte(0)), 2
    if low == _SET_OF_BYTES and width == 1 and len(data) >= 3 + MOST // 8:
        member = np.flatnonzero(np.unpackbits(data[3 : 3 + MOST // 8])).astype(np.uint8)
        if len(member) != count or data[2] not in member:
            raise ValueError("a codebook that contradicts itself")
        return Codebook(_first(_ascending(member), data[2])[:, None]), 3 + MOST // 8
    end = 2 + count * (width - low)
    if low >= width or len(data) < end:
        raise ValueError("a codebook of a width that is not the tensor's")
    values = np.zeros((count, width), np.uint8)
    values[:, low:] = data[2:end].reshape(count, width - low)
    return Codebook(values), end


def codebook_of(elements: np.ndarray) -> tuple[Codebook, np.ndarray] | None:
    """The codebook of a tensor and each element's number; None for too many distinct values.

    Args:
        elements: `(n,)`, of any dtype.
    """
    # By their bits: -0.0 is not 0.0, and NaN is as good as any.
    bits = elements.view(f"u{elements.dtype.itemsize}")
    found, places, counts = np.unique(bits, return_inverse=True, return_counts=True)
    if len(found) > MOST:
        return None
    commonest = int(np.argmax(counts))
    if bits.dtype == np.uint8 and found[commonest] == 0 and len(found) > _NEARLY_EVERY:
        found, places, commonest = np.arange(MOST, dtype=np.uint8), bits, 0
    # Bytes as the signed integers that most weights are.
    ascending = found.view(np.int8 if bits.dtype == np.uint8 else elements.dtype)
    order = np.argsort(ascending, kind="stable")
    order = np.concatenate([[commonest], order[order != commonest]])
    numbers = np.empty(len(found), np.uint8)
    numbers[order] = np.arange(len(found))
    values = found[order].view(np.uint8).reshape(len(found), -1)
    return Codebook(values), numbers[places.ravel()]


def _every_byte(first: int) -> np.ndarray:
    return _first(_ascending(np.arange(MOST, dtype=np.uint8)), first)[:, None]


def _ascending(member: np.ndarray) -> np.ndarray:
    """Bytes in the order of the signed integers they are."""
    return member[np.argsort(member.view(np.int8), kind="stable")]


def _first(ordered: np.ndarray, first: int) -> np.ndarray:
    return np.concatenate([[first], ordered[ordered != first]]).astype(np.uint8)

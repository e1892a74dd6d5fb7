"""Canonical Huffman codes, of which only the lengths are stored.

Source: Huffman 1952; canonical form as in RFC 1951, section 3.2.2, bits from the highest on.
"""

import heapq

import numpy as np

from converters.packed.compiled import compiled

LONGEST = 15


def code_lengths(counts: np.ndarray) -> np.ndarray:
    """The length of each symbol's code in bits, at most 15; 0 for symbols that never come.

    Example:
        >>> code_lengths(np.array([5, 1, 1, 0]))
        array([1, 2, 2, 0], dtype=uint8)

    Args:
        counts: How often each symbol comes.
    """
    counts = np.asarray(counts, np.int64)
    lengths = np.zeros(len(counts), np.uint8)
    used = np.flatnonzero(counts)
    if len(used) == 1:
        lengths[used] = 1
    while len(used) > 1:
        lengths[used] = _depths(counts[used])
        if lengths.max() <= LONGEST:
            break
        # Flatter counts make a flatter tree.
        counts = np.where(counts > 0, counts // 2 + 1, 0)
    return lengths


def _depths(counts: np.ndarray) -> np.ndarray:
    depths = np.zeros(len(counts), np.uint8)
    heap = [(int(count), number, [number]) for number, count in enumerate(counts)]
    heapq.heapify(heap)
    while len(heap) > 1:
        first, second = heapq.heappop(heap), heapq.heappop(heap)
        members = first[2] + second[2]
        depths[members] += 1
        heapq.heappush(heap, (first[0] + second[0], min(first[1], second[1]), members))
    return depths


def codes(lengths: np.ndarray) -> np.ndarray:
    """Each symbol's code: those of one length ascend with the symbols, shorter ones come first."""
    found, code = np.zeros(len(lengths), np.int64), 0
    for length in range(1, LONGEST + 1):
        for symbol in np.flatnonzero(lengths == length):
            found[symbol] = code
            code += 1
        code <<= 1
    return found


def write_bits(values: np.ndarray, lengths: np.ndarray) -> bytes:
    """Values of so many bits each, one behind the other, highest bit first."""
    lengths = lengths.astype(np.int64)
    shifts = np.arange(LONGEST, -1, -1)
    bits = (values[:, None] >> shifts) & 1
    return np.packbits(bits[shifts < lengths[:, None]].astype(np.uint8)).tobytes()


def decoder(lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many codes of each length there are, and the symbols in the order of their codes.

    Raises:
        ValueError: There is no code of these lengths.
    """
    per_length = np.bincount(lengths, minlength=LONGEST + 1).astype(np.int64)
    per_length[0] = 0
    room = int(per_length[1:] @ (1 << np.arange(LONGEST - 1, -1, -1)))
    if room > 1 << LONGEST or not per_length.any():
        raise ValueError("code lengths that no code has")
    return per_length, np.argsort(lengths, kind="stable")[(lengths == 0).sum() :].astype(np.int64)


@compiled
def read_symbol(data, end, position, per_length, symbols) -> int:
    """The next symbol; `position`, of one element, counts bits on.

    Returns:
        The symbol, or -1 where the data end or hold no code.
    """
    code, first, index = 0, 0, 0
    for length in range(1, len(per_length)):
        place = int(position[0])
        if place >= end:
            return -1
        code |= (int(data[place >> 3]) >> (7 - (place & 7))) & 1
        position[0] = place + 1
        count = int(per_length[length])
        if code - first < count:
            return int(symbols[index + code - first])
        index += count
        first = (first + count) << 1
        code <<= 1
    return -1

"""Numbers of a codebook in Huffman codes: all, or those that are not 0 with their distances.

The second is the sparse storage of Deep Compression: relative indices, of which one stands for a
stretch of zeros without a weight behind it.

Source: Han et al. 2015, arXiv 1510.00149, sections 2 to 4.
"""

import numpy as np

from converters.packed.compiled import compiled
from converters.packed.huffman import code_lengths, codes, decoder, read_symbol, write_bits

_WIDEST_GAP = 8  # bits


def write_dense(symbols: np.ndarray, count: int) -> bytes:
    """The symbols in Huffman codes, behind the codes' lengths.

    Args:
        symbols: `(n,)` uint8.
        count: How many values the codebook has.
    """
    lengths = code_lengths(np.bincount(symbols, minlength=count))
    return _nibbles(lengths) + write_bits(codes(lengths)[symbols], lengths[symbols])


def read_dense(data: np.ndarray, symbols: np.ndarray, count: int) -> bool:
    """Read what `write_dense` wrote into the array; whether the data were whole."""
    lengths, used = _lengths(data, 0, count)
    per_length, order = decoder(lengths)
    return bool(_read_dense(data, np.array([8 * used], np.int64), per_length, order, symbols))


def write_relative(symbols: np.ndarray, count: int) -> bytes:
    """The symbols other than 0, each behind the number of zeros before it.

    Args:
        symbols: `(n,)` uint8.
        count: How many values the codebook has.
    """
    places = np.flatnonzero(symbols)
    gaps = np.diff(places, prepend=-1) - 1
    found = [
        _write_relative(symbols[places], gaps, bits, count) for bits in range(2, _WIDEST_GAP + 1)
    ]
    return min(found, key=len)


def _write_relative(values, gaps, bits, count) -> bytes:
    far = (1 << bits) - 1  # so many zeros, and no weight
    jumps = gaps // far
    owner = np.repeat(np.arange(len(gaps)), jumps + 1)
    last = np.zeros(len(owner), bool)
    last[np.cumsum(jumps + 1) - 1] = True
    steps = np.where(last, (gaps % far)[owner], far)
    step_lengths = code_lengths(np.bincount(steps, minlength=far + 1))
    value_lengths = code_lengths(np.bincount(values, minlength=count)[1:])
    pairs = np.zeros((len(steps), 2), np.int64)
    widths = np.zeros((len(steps), 2), np.int64)
    pairs[:, 0], widths[:, 0] = codes(step_lengths)[steps], step_lengths[steps]
    numbers = values[owner[last]].astype(np.int64) - 1
    pairs[last, 1], widths[last, 1] = codes(value_lengths)[numbers], value_lengths[numbers]
    head = bytes([bits]) + _nibbles(step_lengths) + _nibbles(value_lengths)
    return head + len(values).to_bytes(4, "little") + write_bits(pairs.ravel(), widths.ravel())


def read_relative(data: np.ndarray, symbols: np.ndarray, count: int) -> bool:
    """Read what `write_relative` wrote into the array of zeros; whether the data were whole."""
    if not len(data) or not 2 <= int(data[0]) <= _WIDEST_GAP:
        return False
    far = (1 << int(data[0])) - 1
    step_lengths, used = _lengths(data, 1, far + 1)
    value_lengths, used = _lengths(data, used, count - 1)
    left = int.from_bytes(data[used : used + 4].tobytes(), "little")
    start = np.array([8 * (used + 4)], np.int64)
    return bool(
        _read_relative(
            data, start, *decoder(step_lengths), *decoder(value_lengths), far, left, symbols
        )
    )


@compiled
def _read_dense(data, position, per_length, order, symbols) -> bool:
    for i in range(len(symbols)):
        symbol = read_symbol(data, 8 * len(data), position, per_length, order)
        if symbol < 0:
            return False
        symbols[i] = symbol
    return True


@compiled
def _read_relative(
    data, position, steps_per_length, steps, values_per_length, values, far, left, symbols
) -> bool:
    place = -1
    while left:
        step = read_symbol(data, 8 * len(data), position, steps_per_length, steps)
        if step < 0:
            return False
        place += step
        if step == far:
            continue
        place += 1
        value = read_symbol(data, 8 * len(data), position, values_per_length, values)
        if value < 0 or place >= len(symbols):
            return False
        symbols[place] = value + 1
        left -= 1
    return True


def _nibbles(lengths: np.ndarray) -> bytes:
    even = np.append(lengths, np.zeros(len(lengths) % 2, np.uint8))
    return (even[0::2] << 4 | even[1::2]).astype(np.uint8).tobytes()


def _lengths(data: np.ndarray, start: int, count: int) -> tuple[np.ndarray, int]:
    """The lengths of so many codes, and where they end."""
    end = start + (count + 1) // 2
    stored = data[start:end]
    if len(stored) < (count + 1) // 2:
        raise ValueError("it ends within a table of codes")
    return np.stack([stored >> 4, stored & 15], axis=1).ravel()[:count].astype(np.int64), end

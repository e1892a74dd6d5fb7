"""A range coder for bits with probabilities of 16 bits.

Source: Martin 1979, "Range encoding"; renormalisation by bytes as in LZMA.
"""

import numpy as np

from converters.packed.compiled import FAST, compiled

# Places in the coder's state.
LOW, RANGE, CODE, PLACE, WRITING = range(5)


def writer() -> np.ndarray | list[int]:
    """The state of a coder that writes."""
    return _state([0, 0xFFFFFFFF, 0, 0, 1])


def _state(numbers: list[int]) -> np.ndarray | list[int]:
    return np.array(numbers, np.int64) if FAST else numbers


def octets(data: np.ndarray) -> np.ndarray | bytearray:
    """Bytes as the coders read and write them: without numba a bytearray, which is quicker."""
    return data if FAST else bytearray(data.tobytes())


def reader(payload: np.ndarray) -> np.ndarray:
    """The state of a coder that reads; behind the payload's end are zeros."""
    code = int.from_bytes(bytes(payload[:4]).ljust(4, b"\0"), "big")
    return _state([0, 0xFFFFFFFF, code, 4, 0])


@compiled
def code_bit(bit: int, probability: int, state: np.ndarray, payload: np.ndarray) -> int:
    """Write a bit, or read it where the state is a reader's.

    Args:
        bit: 0 or 1; of no account when reading.
        probability: Of a 1, in 1/65536, neither 0 nor 1.
        state: From `writer` or `reader`.
        payload: uint8; long enough when writing.

    Returns:
        The bit.
    """
    size = int(state[RANGE])
    part = (size >> 16) * probability
    if int(state[WRITING]):
        if bit:
            size = part
        else:
            low = int(state[LOW]) + part
            if low > 0xFFFFFFFF:
                low &= 0xFFFFFFFF
                _carry(state, payload)
            state[LOW] = low
            size -= part
        while size < 1 << 24:
            payload[int(state[PLACE])] = int(state[LOW]) >> 24
            state[PLACE] += 1
            state[LOW] = (int(state[LOW]) << 8) & 0xFFFFFFFF
            size <<= 8
        state[RANGE] = size
        return bit
    code = int(state[CODE])
    if code < part:
        bit = 1
        size = part
    else:
        bit = 0
        code -= part
        size -= part
    while size < 1 << 24:
        place = int(state[PLACE])
        following = int(payload[place]) if place < len(payload) else 0
        code = ((code << 8) | following) & 0xFFFFFFFF
        state[PLACE] = place + 1
        size <<= 8
    state[CODE] = code
    state[RANGE] = size
    return bit


@compiled
def _carry(state: np.ndarray, payload: np.ndarray) -> None:
    place = int(state[PLACE]) - 1
    while int(payload[place]) == 255:
        payload[place] = 0
        place -= 1
    payload[place] += 1


def finish(state: np.ndarray | list[int], payload: np.ndarray | bytearray) -> bytes:
    """The written bytes, the last ones as short as can be."""
    low, size = int(state[LOW]), int(state[RANGE])
    for kept in range(5):
        unit = 1 << (32 - 8 * kept)
        value = -(-low // unit) * unit
        if value < low + size:
            break
    if value > 0xFFFFFFFF:
        value &= 0xFFFFFFFF
        _carry(state, payload)
    written = bytes(payload[: int(state[PLACE])]) + value.to_bytes(4, "big")[:kept]
    return written.rstrip(b"\0")

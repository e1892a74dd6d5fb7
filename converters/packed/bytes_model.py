"""Bytes, bit by bit, predicted from those before them and from where the like was seen before."""

import numpy as np

from converters.packed.coding_progress import pieces
from converters.packed.compiled import FAST, compiled
from converters.packed.mixing import INPUTS, code_predicted_bit, hash_contexts

_PACE = 26
_SHORTEST_MATCH = 5
_LONGEST_MATCH = 40
# Lengths of matches that are told apart.
_MATCHES = 24


def code_bytes(mixer, seen, state, payload, data, stride) -> None:
    """Write the bytes, or read them into their array.

    Args:
        mixer: What has been learned so far.
        seen: int32, a power of two long: where each hash of bytes was seen last in the data, or
            -1.
        state: Of the range coder, which says whether it reads.
        payload: Of the range coder.
        data: `(n,)` uint8.
        stride: Bytes of a number.
    """
    matched = np.zeros(2, np.int64) if FAST else [0, 0]
    for start, end in pieces(len(data)):
        _code_between(mixer, seen, state, payload, data, stride, matched, start, end)


@compiled
def _code_between(mixer, seen, state, payload, data, stride, matched, start, end) -> None:
    """Code a piece; `matched` is where the like was seen, and how long it is alike."""
    writing = int(state[4]) == 1
    contexts = mixer.contexts
    last = INPUTS - 1
    match, length = int(matched[0]), int(matched[1])
    for i in range(start, end):
        one, two, three = _before(data, i, 1), _before(data, i, 2), _before(data, i, 3)
        four, five, six = _before(data, i, 4), _before(data, i, 5), _before(data, i, 6)
        eight = _before(data, i, 8)
        phase = i % stride
        contexts[0] = phase
        contexts[1] = one << 2 | phase
        contexts[2] = one | two << 8
        contexts[3] = one | two << 8 | three << 16
        contexts[4] = one | two << 8 | three << 16 | four << 24
        contexts[5] = (contexts[4] * 0x2545F491 + (five | six << 8)) & 0xFFFFFFFF
        contexts[6] = four | phase << 8
        contexts[7] = four | eight << 8 | phase << 16
        contexts[8] = one | four << 8 | eight << 16
        hash_contexts(mixer, last)
        if length and int(data[match]) == one:
            match += 1
            length = min(length + 1, _LONGEST_MATCH)
        else:
            length = 0
        if i >= _SHORTEST_MATCH:
            place = 0
            for k in range(1, _SHORTEST_MATCH + 1):
                place = (place * 0x2F0B4C47 + _before(data, i, k) + 1) & 0xFFFFFFFF
            place = (place ^ (place >> 15)) & (len(seen) - 1)
            candidate = int(seen[place])
            if length == 0 and candidate >= 0:
                while (
                    length < _LONGEST_MATCH
                    and candidate - 1 - length >= 0
                    and int(data[candidate - 1 - length]) == int(data[i - 1 - length])
                ):
                    length += 1
                match = candidate
                if length < _SHORTEST_MATCH:
                    length = 0
            seen[place] = i
        expected = int(data[match]) if length else 0
        byte = int(data[i])
        node = 1
        for depth in range(8):
            told = 0
            if length and (expected | 256) >> (8 - depth) == node:
                told = min(length, 15 + (length - 15) // 4) if length > 15 else length
            hint = 2 * told + ((expected >> (7 - depth)) & 1) if told else 0
            mixer.slots[last] = (last << mixer.bits) + hint
            chosen = told * 4 + (i & 3)
            bit = (byte >> (7 - depth)) & 1
            bit = code_predicted_bit(mixer, node, last, chosen, bit, _PACE, state, payload)
            node = node * 2 + bit
        if not writing:
            data[i] = node & 255
    matched[0], matched[1] = match, length


@compiled
def _before(data, i, distance) -> int:
    return int(data[i - distance]) if i >= distance else 0


def nothing_seen(bits: int) -> np.ndarray | list[int]:
    """For `code_bytes`, at the begin of its data."""
    return np.full(1 << bits, -1, np.int32) if FAST else [-1] * (1 << bits)

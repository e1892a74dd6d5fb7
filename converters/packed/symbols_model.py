"""Numbers of a codebook, bit by bit, predicted from their neighbours in the tensor.

A number is first 0, the commonest value, or not; then come the bits of the others, which ascend
by value. What is near says most: weights to the left and above, how dense the column is, how large
the weights of this row are.
"""

from converters.packed.coding_progress import pieces
from converters.packed.compiled import compiled
from converters.packed.mixing import INPUTS, code_predicted_bit, hash_contexts

_PACE = 14
_NEAR = 8


def code_symbols(mixer, state, payload, symbols, count, row, inner, negative) -> bool:
    """Write the symbols, or read them into their array.

    Args:
        mixer: What has been learned so far.
        state: Of the range coder, which says whether it reads.
        payload: Of the range coder.
        symbols: `(n,)` uint8.
        count: How many values the codebook has.
        row: Symbols of a row: the tensor's first dimension counts rows.
        inner: Symbols between two that have much to do with each other, such as those of the same
            channel at neighbouring positions; 0 for none, at least 2.
        negative: How many of the values above symbol 0 are negative.

    Returns:
        Whether all symbols are in the codebook: they may not be where damaged ones are read.
    """
    for start, end in pieces(len(symbols)):
        where = (start, end, count, row, inner, negative)
        if not _code_between(mixer, state, payload, symbols, *where):
            return False
    return True


@compiled
def _code_between(mixer, state, payload, symbols, start, end, count, row, inner, negative) -> bool:
    depth_of_all = 0
    while (1 << depth_of_all) < count - 1:
        depth_of_all += 1
    writing = int(state[4]) == 1
    contexts = mixer.contexts
    for i in range(start, end):
        left = int(symbols[i - 1]) if i >= 1 else 0
        left2 = int(symbols[i - 2]) if i >= 2 else 0
        above = int(symbols[i - row]) if i >= row else 0
        above2 = int(symbols[i - 2 * row]) if i >= 2 * row else 0
        same = int(symbols[i - inner]) if inner and i >= inner else 0
        before_same = int(symbols[i - inner - 1]) if inner and i > inner else 0
        after_same = int(symbols[i - inner + 1]) if inner and i >= inner else 0
        dense_column = 0
        dense_row = 0
        for k in range(1, _NEAR + 1):
            if i >= k * row and int(symbols[i - k * row]):
                dense_column += 1
            if i >= k and int(symbols[i - k]):
                dense_row += 1
        pattern = (
            (left != 0)
            + 2 * (left2 != 0)
            + 4 * (above != 0)
            + 8 * (above2 != 0)
            + 16 * (same != 0)
            + 32 * (before_same != 0)
            + 64 * (after_same != 0)
        )
        near = (left != 0) + (left2 != 0) + (same != 0) + (before_same != 0) + (after_same != 0)
        size = (
            2 * _size(left, negative)
            + _size(left2, negative)
            + 2 * _size(above, negative)
            + 2 * _size(same, negative)
        )
        scale = 0
        while size >= 4:
            size >>= 1
            scale += 1
        contexts[0] = 0
        contexts[1] = left
        contexts[2] = above
        contexts[3] = dense_column * 64 + near * 10 + dense_row
        contexts[4] = i % row
        contexts[5] = i // row
        contexts[6] = same
        contexts[7] = pattern
        contexts[8] = scale * 4 + size
        contexts[9] = (_size(left, negative) >> 3) * 64 + (_size(above, negative) >> 3)
        hash_contexts(mixer, INPUTS)
        symbol = int(symbols[i])
        node, depth = 0, 0
        bit = 1 if symbol else 0
        while True:
            bit = code_predicted_bit(mixer, node, INPUTS, depth, bit, _PACE, state, payload)
            if depth == 0:
                if bit == 0:
                    symbol = 0
                    break
                node = 1
            else:
                node = node * 2 + bit
            if depth == depth_of_all:
                symbol = node - (1 << depth_of_all) + 1
                break
            depth += 1
            bit = ((symbol - 1) >> (depth_of_all - depth)) & 1
        if symbol >= count:
            return False
        if not writing:
            symbols[i] = symbol
    return True


@compiled
def _size(symbol: int, negative: int) -> int:
    """How far a symbol's value is from zero, counted in values."""
    if symbol == 0:
        return 0
    return negative - symbol + 1 if symbol <= negative else symbol - negative

"""LZMA without a container: for bytes that repeat others far before them.

The payload is a byte of properties, as in `.lzma` files, and the bare LZMA1 stream without its end
mark. The dictionary is what was unpacked of the segment.

Source: Pavlov, LZMA specification (lzma-specification.txt of the LZMA SDK, public domain).
"""

import contextlib
import lzma

# Literal context, literal position and position bits that are tried: bytes as xz takes them, noise,
# and numbers of four bytes.
PROPERTIES = ((3, 0, 2), (0, 0, 0), (1, 2, 2))
# What the C decoder has room for.
MOST_LITERAL_BITS = 3
# Of an end mark with what is behind it.
_LONGEST_END = 10
_LARGE = 2**23


def write_lzma(data: bytes, extreme: bool = True) -> bytes:
    """The bytes, packed by the properties that make them smallest.

    Args:
        data: The bytes.
        extreme: Whether to search as long as `xz -9e` does, and by all properties. Defaults to
            `True`.
    """
    tried = PROPERTIES if extreme and len(data) < _LARGE else PROPERTIES[:1]
    preset = 9 | lzma.PRESET_EXTREME if extreme else 6
    best = min((_written(data, *properties, preset) for properties in tried), key=len)
    return _without_end(best, len(data)) if extreme else best


def _written(data: bytes, lc: int, lp: int, pb: int, preset: int) -> bytes:
    size = max(4096, len(data))
    chain = [{**_filter(lc, lp, pb, size), "preset": preset}]
    stream = lzma.compress(data, lzma.FORMAT_RAW, filters=chain)
    return bytes([(pb * 5 + lp) * 9 + lc]) + stream


def _without_end(payload: bytes, size: int) -> bytes:
    """Without the mark that says where the stream ends, which the header says."""
    whole = read_lzma(payload, size)
    for cut in range(min(_LONGEST_END, len(payload) - 1), 0, -1):
        with contextlib.suppress(ValueError):
            if read_lzma(payload[:-cut], size) == whole:
                return payload[:-cut]
    return payload


def read_lzma(payload: bytes, size: int) -> bytes:
    """So many bytes out of a payload; behind its end are zeros.

    Raises:
        ValueError: They are not in it.
    """
    properties = payload[0] if payload else 255
    lc, lp, pb = properties % 9, properties // 9 % 5, properties // 45
    if pb > 4 or lc + lp > MOST_LITERAL_BITS:
        raise ValueError("LZMA properties that no packer writes")
    if not size:
        return b""
    chain = [_filter(lc, lp, pb, max(4096, size))]
    decoder = lzma.LZMADecompressor(lzma.FORMAT_RAW, filters=chain)
    try:
        found = decoder.decompress(payload[1:] + bytes(16), size)
    except lzma.LZMAError as error:
        raise ValueError(f"an LZMA stream that is damaged: {error}") from None
    if len(found) != size:
        raise ValueError("an LZMA stream that ends too early")
    return found


def _filter(lc: int, lp: int, pb: int, size: int) -> dict[str, int]:
    return {"id": lzma.FILTER_LZMA1, "lc": lc, "lp": lp, "pb": pb, "dict_size": size}

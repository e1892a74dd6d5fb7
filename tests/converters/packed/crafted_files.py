"""Packed files that hold each kind of segment, and what is in them."""

import zlib

import numpy as np

from converters.packed.candidates import Packable, encode_bytes, encode_next
from converters.packed.constants import Constant
from converters.packed.container import ORDER, Header, Kind, Segment
from converters.packed.lzma_stream import write_lzma
from converters.packed.mixing import new_mixer


def crafted(*parts, bits=6, skeleton_kind=Kind.BYTES) -> tuple[bytes, bytes]:
    """A packed file, and the bytes in it.

    Args:
        parts: Bytes that are in no segment; or an array and how it is packed; or an array that is
            made of another, `Kind.SCALED`, where that is, and the factor.
        bits: Each context has two to the power of this slots.
        skeleton_kind: How the bytes in no segment are packed.
    """
    content, constants, segments, inside = b"", [], [], []
    for part in parts:
        data = part if isinstance(part, bytes) else part[0].tobytes()
        if not isinstance(part, bytes):
            array, kind, *more = part
            if kind == Kind.SCALED:
                given = {"source": more[0], "factor": np.float32(more[1]).tobytes()}
                segments.append(Segment(len(content), array.size, 4, kind, **given))
            else:
                place = len(content), array.nbytes
                constants.append((Constant(*place, "", array.dtype.name, array.shape), kind))
        inside += [not isinstance(part, bytes)] * len(data)
        content += data
    mixer = new_mixer(bits)
    skeleton = np.frombuffer(content, np.uint8)[~np.array(inside, bool)]
    body = front = encode_bytes(skeleton, 4, mixer)
    if skeleton_kind == Kind.LZMA:
        body = front = write_lzma(skeleton.tobytes())
        mixer = new_mixer(bits)
    for kind in ORDER:
        if kind == Kind.SYMBOLS:
            mixer = new_mixer(bits)
        for constant, wanted in constants:
            if wanted == kind:
                found = encode_next(Packable.of(constant, content), kind, mixer)
                segment, payload, mixer = found
                segments.append(segment)
                body += payload
    segments.sort(key=lambda segment: segment.start)
    header = Header(len(content), bits, len(front), tuple(segments), skeleton_kind)
    packed = header.tobytes() + body
    return packed + zlib.crc32(content, zlib.crc32(packed)).to_bytes(4, "little"), content


def few(dtype, shape, values=6, zeros=0.5, seed=0):
    """An array of few distinct values, many of them 0."""
    rng = np.random.default_rng(seed)
    some = np.concatenate([[0], rng.integers(-100, 100, values - 1)]).astype(dtype)
    array = some[rng.integers(0, values, shape)]
    array[rng.random(shape) < zeros] = 0
    return array


def every_byte(times=1):
    rng = np.random.default_rng(1)
    return rng.permutation(np.tile(np.arange(-128, 128), times)).astype(np.int8)


def numbers(count):
    return np.random.default_rng(2).normal(0, 1, count).astype(np.float32)


def scaled(values, factor):
    with np.errstate(all="ignore"):
        return np.float32(factor) * values


TEXT = b"TFL3 and some words, and some words again"
FAR_ZEROS = np.where(np.arange(700) % 261 == 260, 3, 0).astype(np.int16)
STARS = np.array([0.0, -0.0, 1e-40, 3e-39, 1e38, -2e38, 1.5, -1 / 3], np.float32)

# Each small, and together all there is.
FILES = {
    "skeleton": (TEXT,),
    "nothing": (),
    "stored": (b"a", (few("int16", 20), Kind.STORED), b"b"),
    "bytes": (b"ab", (numbers(20), Kind.BYTES), b"c", (few("int8", 33), Kind.BYTES)),
    "bytes of 8": ((few("int64", 12, 4), Kind.BYTES),),
    "long match": (bytes(range(60)) * 4 + b"!" * 90,),
    "symbols": (TEXT[:9], (few("int8", (6, 9)), Kind.SYMBOLS), b"x"),
    "symbols of channels": ((few("int8", (3, 2, 3, 5), 20), Kind.SYMBOLS),),
    "a first row without 0": ((few("int8", (2, 9, 2), 4, seed=4), Kind.SYMBOLS),),
    "symbols of 2": ((few("int16", (5, 7)), Kind.SYMBOLS), (few("int16", 9), Kind.SYMBOLS)),
    "symbols of 4": ((few("float32", (4, 5), 9, 0.2), Kind.SYMBOLS),),
    "symbols of 8": ((few("float64", (4, 5), 3), Kind.SYMBOLS),),
    "one symbol": (TEXT, (np.full(50, 7, np.int8), Kind.SYMBOLS)),
    "every symbol": ((every_byte(), Kind.SYMBOLS),),
    "a set of symbols": ((few("int8", 90, 60, 0.1), Kind.SYMBOLS),),
    "huffman": (b"a", (few("int8", 60, 20), Kind.HUFFMAN), (numbers(9), Kind.HUFFMAN)),
    "huffman of 8": ((few("int64", 12), Kind.HUFFMAN), b"ab"),
    "huffman of one": ((np.full(9, 5, np.int8), Kind.HUFFMAN),),
    "huffman of all": ((every_byte(2), Kind.HUFFMAN),),
    "relative": (b"a", (few("int8", 60, zeros=0.9), Kind.RELATIVE), b"b"),
    "relative of 4": ((few("float32", 40, zeros=0.8), Kind.RELATIVE),),
    "relative, far zeros": ((FAR_ZEROS, Kind.RELATIVE),),
    "relative of many": ((few("int8", 300, 250, 0.4), Kind.RELATIVE),),
    "scaled": (b"abc", (numbers(8), Kind.BYTES), (scaled(numbers(8), 0.37), Kind.SCALED, 3, 0.37)),
    "scaled, odd floats": (STARS.tobytes(), (scaled(STARS, 2.5), Kind.SCALED, 0, 2.5)),
    "scaled, smaller floats": (STARS.tobytes(), (scaled(STARS, 1e-3), Kind.SCALED, 0, 1e-3)),
    # Both read what they write: from the values before it, which are then zeros.
    "scaled over its source": (
        numbers(3).tobytes(),
        (np.append(scaled(numbers(3), 3), np.zeros(5, "f4")), Kind.SCALED, 0, 3),
    ),
    "scaled before its source": (
        (np.append(np.zeros(5, "f4"), scaled(numbers(3), 3)), Kind.SCALED, 12, 3),
        numbers(3).tobytes(),
    ),
    # The first is made from the second, which is made behind it.
    "scaled from nothing": (
        numbers(4).tobytes(),
        (np.zeros(4, "f4"), Kind.SCALED, 32, 3),
        (scaled(numbers(4), 2), Kind.SCALED, 0, 2),
    ),
    "lzma": (b"a", (few("int8", 300, 4), Kind.LZMA), (numbers(9), Kind.LZMA), b"b"),
    "all kinds": (
        TEXT,
        (few("int8", (4, 8)), Kind.SYMBOLS),
        (few("int8", 20, seed=1), Kind.STORED),
        b"between",
        (few("int8", 64, zeros=0.9, seed=2), Kind.RELATIVE),
        (numbers(10), Kind.BYTES),
        (few("int16", 30, seed=3), Kind.HUFFMAN),
        (scaled(numbers(10), 0.25), Kind.SCALED, 41 + 32 + 20 + 7 + 64, 0.25),
        (np.tile(numbers(5), 4), Kind.LZMA),
        (few("int16", (3, 9), seed=4), Kind.SYMBOLS),
        TEXT[::-1],
    ),
}
SMALL = ["symbols", "symbols of 2", "huffman", "relative", "scaled", "lzma", "all kinds"]
# Whose bytes in no segment are by LZMA.
BY_LZMA = {"skeleton by lzma": FILES["skeleton"], "all by lzma": FILES["all kinds"]}

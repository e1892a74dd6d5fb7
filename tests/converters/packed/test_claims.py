"""A small file cannot keep a decoder busy: what its header asks for is bounded by its size."""

import shutil
import time
import zlib

import numpy as np
import pytest

from converters.packed.container import (
    FREE_BYTES,
    FREE_PREDICTED,
    MOST_PREDICTED,
    MOST_TIMES,
    Header,
    Kind,
    PackedFileError,
    Segment,
    read_header,
)
from converters.packed.packing import sealed
from converters.packed.unpacking import unpacked_bytes
from tests.converters.packed.crafted_files import crafted

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def forged(size: int, claim: int, kind=None, width=1) -> bytes:
    """A file of about so many bytes that claims so many, with good checksums of its header."""
    payload = bytes(max(4, size - 30))
    if kind is None:
        header = Header(claim, 6, len(payload), ())
    else:
        row = 8 if kind == Kind.SYMBOLS else 0
        segment = Segment(0, claim // width, width, kind, len(payload), row=row)
        header = Header(claim, 6, 0, (segment,))
    return header.tobytes() + payload + bytes(4)


FORGED = {
    "72 bytes, 1 MB": forged(72, 1_000_000),
    "320 bytes, 32 MB": forged(320, 32_000_000),
    "16 kB, 2 GB": forged(16_000, 2**31 - 1),
    "bytes": forged(320, 32_000_000, Kind.BYTES, 4),
    "symbols": forged(320, 64_000_000, Kind.SYMBOLS, 8),
    "symbols, 2 GB": forged(16_000, 2**31 - 8, Kind.SYMBOLS, 8),
    "huffman codes": forged(300, 10_000, Kind.HUFFMAN),
    "zeros": forged(300, 500_000_000, Kind.RELATIVE),
    "lzma": forged(3000, 100_000_000, Kind.LZMA),
}


@pytest.mark.parametrize("name", FORGED)
def test_lies_are_refused_before_they_cost_anything(name):
    start = time.process_time()
    with pytest.raises(PackedFileError, match="damaged: it claims .* (bytes|numbers|codes)"):
        unpacked_bytes(FORGED[name])
    assert time.process_time() - start < 0.5


@needs_gcc
@pytest.mark.parametrize("name", FORGED)
def test_in_c_too(name, decoder):
    assert decoder.look(FORGED[name])[0] == "EKZ_BAD_HEADER"
    assert decoder.unpack(FORGED[name], 100, 10**5)[0] == "EKZ_BAD_HEADER"


@needs_gcc
def test_both_draw_the_line_at_the_same_place(decoder):
    for kind, free, times in (
        (Kind.BYTES, FREE_PREDICTED, MOST_PREDICTED),
        (Kind.RELATIVE, FREE_BYTES, MOST_TIMES),
    ):
        size = len(forged(100, free, kind))
        for claim in (free + times * size, free + times * size + 1):
            packed = forged(100, claim, kind)
            assert len(packed) == size
            if claim == free + times * size:
                assert read_header(packed)[0].unpacked_size == claim
                assert decoder.look(packed)[0] == "EKZ_OK"
            else:
                with pytest.raises(PackedFileError, match="more than"):
                    read_header(packed)
                assert decoder.look(packed)[0] == "EKZ_BAD_HEADER"


@needs_gcc
def test_what_is_nearly_nothing_is_packed_with_as_many_bytes_as_it_takes(decoder):
    """Three million zeros would cost a few bytes, and get as many more as decoders ask for."""
    zeros = np.zeros(3_000_000, np.int8)
    _, content = crafted(b"ab")
    header = Header(len(zeros), 6, 1, ())
    packed = sealed(header, b"\0", b"", zeros.tobytes())
    found, _ = read_header(packed)
    assert found.skeleton_size > (len(zeros) - FREE_PREDICTED) / MOST_PREDICTED - 100
    assert len(packed) < len(zeros) / 500
    assert zlib.crc32(zeros, zlib.crc32(packed[:-4])) == int.from_bytes(packed[-4:], "little")

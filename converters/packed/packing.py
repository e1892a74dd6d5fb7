"""`pack`: a `.tflite` as small as its weights allow, to be unpacked to the same bytes."""

import os
import warnings
import zlib
from collections.abc import Callable
from numbers import Integral

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.packed.candidates import (
    Packable,
    cheapest_kind,
    encode_bytes,
    encode_next,
)
from converters.packed.coders import CODERS
from converters.packed.compiled import FAST
from converters.packed.constants import Constant, find_constants
from converters.packed.container import (
    MOST_SEGMENTS,
    SMALLEST_BITS,
    Header,
    Kind,
    decoder_memory,
)
from converters.packed.mixing import new_mixer
from converters.packed.multiples import find_multiples
from converters.packed.packed_file import PackedFile
from converters.packed.unpacking import unpacked_bytes

# Constants of fewer bytes cost more as segments than they save.
_FEWEST_BYTES = 64
_FEWEST_OF_VECTOR = 1024
_SLOW_BYTES = 50_000
# More slots gain nothing but on files of many megabytes.
_MOST_BITS = 16


def pack(
    model: Flatbuffer | str | os.PathLike,
    coder: str = "smallest",
    memory: int = 2**22,
    on_progress: Callable[[int, int], None] | None = None,
) -> PackedFile:
    """Pack a `.tflite` so that it unpacks to the same bytes.

    Each constant is packed in the way that makes it smallest: a codebook with numbers that are
    predicted from their neighbours, the same in Huffman codes, sparse with relative indices, or
    plain bytes; scales that are multiples of others are left out. The result is unpacked and
    compared before it is given out.

    Example:
        >>> packed = pack("model.tflite")
        >>> packed.save("model.ekz")
        >>> print(packed)

    Args:
        model: A `Flatbuffer`, or the path of a `.tflite` file.
        coder: `"smallest"`, or `"huffman"`, for slow processors: Huffman codes and stored bytes
            only, but for the bytes around the constants. Defaults to `"smallest"`.
        memory: Bytes the decoder may use beside the two files; less makes larger files. 65,536
            suits microcontrollers. Defaults to `2**22`, four megabytes.
        on_progress: Called with the bytes done and all bytes as packing goes on. Defaults to
            `None`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no LiteRT model, an unknown coder, or too little memory.

    Source: Han et al. 2015, Deep Compression, arXiv 1510.00149 (codebooks, relative indices,
    Huffman codes); Mahoney 2005, PAQ (mixing of contexts).
    """
    if coder not in CODERS:
        raise ValueError(f"`coder` must be one of {', '.join(CODERS)}. Received: coder={coder!r}")
    _check_memory(memory)
    if not isinstance(model, (Flatbuffer, str, os.PathLike)):
        raise TypeError(
            "`model` must be a Flatbuffer or the path of a .tflite file: convert a Keras model "
            f"first (ek.convert). Received: {type(model).__name__}"
        )
    flatbuffer = model if isinstance(model, Flatbuffer) else Flatbuffer.from_file(model)
    content = flatbuffer.content
    if not FAST and len(content) > _SLOW_BYTES:
        warnings.warn(
            f"packing {len(content):,} bytes takes minutes without numba: install the extra "
            "`pack` (pip install 'edgekit-keras[pack]')",
            stacklevel=2,
        )
    constants = find_constants(content)
    bits = _bits_within(memory, len(constants))
    packed = _Packing(content, constants, CODERS[coder], bits, on_progress).run()
    if unpacked_bytes(packed) != content:
        raise RuntimeError("the packed file does not unpack to what was packed: a bug of edgekit")
    return PackedFile(packed, content, constants)


def _check_memory(memory: int) -> None:
    if isinstance(memory, bool) or not isinstance(memory, Integral):
        raise TypeError(f"`memory` must be a number of bytes. Received: memory={memory!r}")


def _bits_within(memory: int, segments: int) -> int:
    bits = [
        bits
        for bits in range(SMALLEST_BITS, _MOST_BITS + 1)
        if decoder_memory(bits, segments) <= memory
    ]
    if not bits:
        least = decoder_memory(SMALLEST_BITS, segments)
        raise ValueError(f"`memory` must be at least {least:,} bytes. Received: memory={memory}")
    return bits[-1]


class _Packing:
    """One file on its way."""

    def __init__(self, content, constants, coders, bits, on_progress):
        self._content, self._coders, self._bits = content, coders, bits
        self._on_progress = on_progress
        self._done = 0
        self._multiples = find_multiples(constants, content)[:MOST_SEGMENTS]
        made = {segment.start for segment in self._multiples}
        worth = [c for c in constants if c.start not in made and _worth_a_segment(c)]
        largest = sorted(worth, key=lambda c: -c.size)[: MOST_SEGMENTS - len(made)]
        self._packables = [Packable.of(c, content) for c in sorted(largest, key=lambda c: c.start)]

    def run(self) -> bytes:
        chosen = {}
        for packable in self._packables:
            kind = cheapest_kind(packable, self._coders, self._bits)
            chosen.setdefault(kind, []).append(packable)
            self._step(packable)
        segments, payloads = list(self._multiples), {}
        mixer = new_mixer(self._bits)
        skeleton = self._skeleton(chosen)
        front = encode_bytes(skeleton, 4, mixer)
        for kind in Kind:
            if kind == Kind.SYMBOLS:
                mixer = new_mixer(self._bits)
            for packable in chosen.get(kind, []):
                segment, payload, mixer = encode_next(packable, kind, mixer)
                segments.append(segment)
                payloads[segment.start] = payload
                self._step(packable)
        segments.sort(key=lambda segment: segment.start)
        ordered = [s for kind in Kind for s in segments if s.kind == kind]
        header = Header(len(self._content), self._bits, len(front), tuple(segments))
        body = b"".join(payloads.get(segment.start, b"") for segment in ordered)
        packed = header.tobytes() + front + body
        checksum = zlib.crc32(self._content, zlib.crc32(packed))
        return packed + checksum.to_bytes(4, "little")

    def _skeleton(self, chosen) -> np.ndarray:
        inside = np.ones(len(self._content), bool)
        for segment in self._multiples:
            inside[segment.start : segment.end] = False
        for packables in chosen.values():
            for packable in packables:
                start = packable.constant.start
                inside[start : start + packable.constant.size] = False
        return np.frombuffer(self._content, np.uint8)[inside]

    def _step(self, packable: Packable) -> None:
        self._done += packable.constant.size
        if self._on_progress:
            self._on_progress(self._done, 2 * sum(p.constant.size for p in self._packables))


def _worth_a_segment(constant: Constant) -> bool:
    matrix = len(constant.shape) > 1 and not constant.scales
    return constant.size >= (_FEWEST_BYTES if matrix else _FEWEST_OF_VECTOR)

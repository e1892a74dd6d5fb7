"""`pack`: a `.tflite` as small as its weights allow, to be unpacked to the same bytes."""

import os
import warnings
import zlib
from collections.abc import Callable
from dataclasses import replace
from numbers import Integral

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.packed.candidates import (
    BEGIN,
    PREDICTED,
    Choice,
    Packable,
    choose,
    encode_bytes,
    encode_next,
)
from converters.packed.coders import CODERS
from converters.packed.coding_progress import CodingProgress, telling
from converters.packed.compiled import FAST
from converters.packed.constants import Constant, find_constants
from converters.packed.container import (
    MOST_SEGMENTS,
    ORDER,
    SMALLEST_BITS,
    Header,
    Kind,
    decoder_memory,
    impossible_claim,
)
from converters.packed.lzma_stream import write_lzma
from converters.packed.mixing import new_mixer
from converters.packed.multiples import find_multiples
from converters.packed.packed_file import PackedFile
from converters.packed.unpacking import unpacked_bytes

# Constants of fewer bytes cost more as segments than they save.
_FEWEST_BYTES = 64
_FEWEST_OF_VECTOR = 1024
_SLOW_BYTES = 50_000
# Of a byte without numba: predicted once, on trial in part, and once more to compare.
_SLOW_SECONDS = 3e-4
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
    predicted from their neighbors, the same in Huffman codes, sparse with relative indices, bytes
    that are predicted, or LZMA; scales that are multiples of others are left out. Bytes of no
    tensor, such as metadata, programs of custom ops and files behind the model, are packed as one
    of the last two, and no file becomes larger than by `xz -9e`. The result is unpacked and
    compared before it is given out. With and without numba (extra `pack`) the bytes are the same;
    without, it takes about 0.3 milliseconds a byte of constants.

    Example:
        >>> packed = pack("model.tflite")
        >>> packed.save("model.ekz")
        >>> print(packed)

    Args:
        model: A `Flatbuffer`, or the path of a `.tflite` file.
        coder: `"smallest"`, or `"huffman"`, for slow processors: Huffman codes, LZMA and stored
            bytes only, but for the bytes around the constants. Defaults to `"smallest"`.
        memory: Bytes the decoder may use beside the two files; less makes larger files. 65,536
            suits microcontrollers. Defaults to `2**22`, four megabytes.
        on_progress: Called with how much has been coded and about how much will be, as packing
            goes on. Defaults to `None`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no LiteRT model, an unknown coder, or too little memory.

    Source: Han et al. 2015, Deep Compression, arXiv 1510.00149 (codebooks, relative indices,
    Huffman codes); Mahoney 2005, PAQ (mixing of contexts); Pavlov, LZMA SDK.
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
        minutes = max(1, round(len(content) * _SLOW_SECONDS / 60))
        warnings.warn(
            f"packing {len(content):,} bytes takes about {minutes} minutes without numba, which "
            "takes seconds: install the extra `pack` (pip install 'edgekit-keras[pack]'), or use "
            "the coder 'huffman'",
            stacklevel=2,
        )
    constants = find_constants(content)
    bits = _bits_within(memory, len(constants))
    packing = _Packing(content, constants, CODERS[coder], bits)
    progress = CodingProgress(packing.expected, on_progress)
    with telling(progress):
        packed = packing.run()
        if unpacked_bytes(packed) != content:
            raise RuntimeError("the packed file does not unpack to what was packed: a bug here")
    progress.end()
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

    def __init__(self, content, constants, coders, bits):
        self._content, self._coders, self._bits = content, coders, bits
        self._multiples = find_multiples(constants, content)[:MOST_SEGMENTS]
        made = {segment.start for segment in self._multiples}
        worth = [c for c in constants if c.start not in made and _worth_a_segment(c)]
        largest = sorted(worth, key=lambda c: -c.size)[: MOST_SEGMENTS - len(made)]
        self._packables = [Packable.of(c, content) for c in sorted(largest, key=lambda c: c.start)]

    def run(self) -> bytes:
        chosen: dict[Kind, list[tuple[Packable, Choice]]] = {}
        for packable in self._packables:
            choice = choose(packable, self._coders, self._bits)
            chosen.setdefault(choice.kind, []).append((packable, choice))
        segments, payloads = list(self._multiples), {}
        mixer = new_mixer(self._bits)
        skeleton = self._skeleton(chosen)
        front = encode_bytes(skeleton, 4, mixer)
        skeleton_kind, packed = Kind.BYTES, write_lzma(skeleton.tobytes())
        if len(packed) < len(front):
            skeleton_kind, front, mixer = Kind.LZMA, packed, new_mixer(self._bits)
        for kind in ORDER:
            if kind == Kind.SYMBOLS:
                mixer = new_mixer(self._bits)
            for packable, choice in chosen.get(kind, []):
                segment, payload, after = encode_next(packable, kind, mixer, choice.begin_anew)
                if choice.other and len(choice.other[1]) < len(payload):
                    other, payload = choice.other
                    segment = packable.segment(other, size=len(payload))
                else:
                    mixer = after
                segments.append(segment)
                payloads[segment.start] = payload
        segments.sort(key=lambda segment: segment.start)
        ordered = [s for kind in ORDER for s in segments if s.kind == kind]
        body = b"".join(payloads.get(segment.start, b"") for segment in ordered)
        header = Header(len(self._content), self._bits, len(front), tuple(segments), skeleton_kind)
        return min(sealed(header, front, body, self._content), self._whole(), key=len)

    def _whole(self) -> bytes:
        """The file as one stream: no other is larger than that."""
        payload = write_lzma(self._content)
        header = Header(len(self._content), self._bits, len(payload), (), Kind.LZMA)
        return sealed(header, payload, b"", self._content)

    def _skeleton(self, chosen) -> np.ndarray:
        inside = np.ones(len(self._content), bool)
        for segment in self._multiples:
            inside[segment.start : segment.end] = False
        for packables in chosen.values():
            for packable, _ in packables:
                start = packable.constant.start
                inside[start : start + packable.constant.size] = False
        return np.frombuffer(self._content, np.uint8)[inside]

    @property
    def expected(self) -> int:
        """About how many numbers will be coded, tries and the last comparison included."""
        packables = [
            (p, [k for k in p.kinds(self._coders) if k in PREDICTED]) for p in self._packables
        ]
        rest = len(self._content) - sum(len(packable.data) for packable, _ in packables)
        found = 2 * rest
        for packable, predicted in packables:
            tries = len(predicted) if len(predicted) > 1 else 0
            found += (tries + 2) * len(packable.begin(BEGIN).data) if predicted else 0
            found += 2 * len(packable.data) if predicted else 0
        return found


def sealed(header: Header, front: bytes, body: bytes, content: bytes) -> bytes:
    """The file: its header, its payloads, and the checksum of all.

    Args:
        header: Of the file.
        front: The skeleton, packed; where the file claims more than decoders believe, zeros are
            added, which they would read behind its end.
        body: The other payloads.
        content: What is packed.
    """
    while impossible_claim(header, len(header.tobytes()) + len(front) + len(body) + 4):
        front += bytes(1 + len(front) // 8)
        header = replace(header, skeleton_size=len(front))
    packed = header.tobytes() + front + body
    checksum = zlib.crc32(content, zlib.crc32(packed))
    return packed + checksum.to_bytes(4, "little")


def _worth_a_segment(constant: Constant) -> bool:
    if constant.blob:
        return True
    matrix = len(constant.shape) > 1 and not constant.scales
    return constant.size >= (_FEWEST_BYTES if matrix else _FEWEST_OF_VECTOR)

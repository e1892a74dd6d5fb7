"""The layout of an `.ekz` file: header, segments, checksum.

    "EKZ" and the version                               4 bytes
    how long the header is                              a number
    the header: size of the unpacked file, slots per context (as a power of two), size of the
        skeleton as packed, from version 2 on its kind, how many segments, and the segments in the
        order of their places
    16 bits of a checksum over all that                 2 bytes
    the skeleton, packed; then the segments by kind, each as packed
    CRC-32 over all that, going on over the unpacked file   4 bytes

Numbers have seven bits a byte, the lowest first, with the eighth set on all bytes but the last.
The skeleton is what of the file is in no segment. Version 2 has the kind LZMA; a file without it
is of version 1, which older decoders read.
"""

import zlib
from dataclasses import dataclass
from enum import IntEnum

MARK = b"EKZ"
VERSIONS = (1, 2)
# What the schema's offsets of 32 bits with a sign can reach.
MOST_BYTES = 2**31 - 1
MOST_SEGMENTS = 2**12
SMALLEST_BITS, LARGEST_BITS = 6, 16
WIDTHS = (1, 2, 4, 8)
# What a file may claim: so many predicted numbers and unpacked bytes, and so many for each of its
# bytes.
FREE_PREDICTED, MOST_PREDICTED = 2**16, 1024
FREE_BYTES, MOST_TIMES = 2**24, 4096


class PackedFileError(ValueError):
    """The bytes are no `.ekz` file, or a damaged one."""


class Kind(IntEnum):
    """How a segment is packed."""

    STORED = 0
    BYTES = 1
    SYMBOLS = 2
    HUFFMAN = 3
    RELATIVE = 4
    SCALED = 5
    LZMA = 6


# In which segments are decoded: what is made from others comes last.
ORDER = (
    Kind.STORED,
    Kind.BYTES,
    Kind.SYMBOLS,
    Kind.HUFFMAN,
    Kind.RELATIVE,
    Kind.LZMA,
    Kind.SCALED,
)


@dataclass(frozen=True)
class Segment:
    """Numbers of the file that are packed by themselves.

    Attributes:
        start: Where they are in the unpacked file.
        count: How many numbers.
        width: Bytes of a number.
        kind: How they are packed.
        size: Bytes as packed.
        fresh: Whether what was learned from segments before is of no use.
        row: SYMBOLS: numbers of a row.
        inner: SYMBOLS: numbers between two that have much to do with each other; 0 for none, not 1.
        source: SCALED: where the numbers are that these are multiples of.
        factor: SCALED: the multiple, as the four bytes of a float.
    """

    start: int
    count: int
    width: int
    kind: Kind
    size: int = 0
    fresh: bool = False
    row: int = 0
    inner: int = 0
    source: int = 0
    factor: bytes = b""

    @property
    def end(self) -> int:
        """Where the numbers end in the unpacked file."""
        return self.start + self.count * self.width


@dataclass(frozen=True)
class Header:
    """What is known of a file before it is unpacked.

    Attributes:
        unpacked_size: Bytes of the unpacked file.
        bits: Each context has two to the power of this slots.
        skeleton_size: Bytes of the skeleton as packed.
        segments: In the order of their places.
        skeleton_kind: `Kind.BYTES` or `Kind.LZMA`.
    """

    unpacked_size: int
    bits: int
    skeleton_size: int
    segments: tuple[Segment, ...]
    skeleton_kind: Kind = Kind.BYTES

    @property
    def version(self) -> int:
        """The least that has all kinds."""
        kinds = {self.skeleton_kind, *(segment.kind for segment in self.segments)}
        return 2 if Kind.LZMA in kinds else 1

    @property
    def skeleton_bytes(self) -> int:
        """Bytes of the skeleton, unpacked."""
        return self.unpacked_size - sum(s.end - s.start for s in self.segments)

    def tobytes(self) -> bytes:
        """The header with all that comes before it, and its checksum."""
        body = bytearray()
        kind = [self.skeleton_kind] if self.version > 1 else []
        numbers = self.unpacked_size, self.bits, self.skeleton_size, *kind, len(self.segments)
        for number in numbers:
            body += number_bytes(number)
        end = 0
        for segment in self.segments:
            body += number_bytes(segment.start - end)
            body.append(segment.kind | segment.fresh << 3 | WIDTHS.index(segment.width) << 4)
            body += number_bytes(segment.count)
            if segment.kind == Kind.SYMBOLS:
                body += number_bytes(segment.row) + number_bytes(segment.inner)
            if segment.kind == Kind.SCALED:
                body += number_bytes(segment.source) + segment.factor
            else:
                body += number_bytes(segment.size)
            end = segment.end
        whole = MARK + bytes([self.version]) + number_bytes(len(body)) + bytes(body)
        return whole + (zlib.crc32(whole) & 0xFFFF).to_bytes(2, "little")


def impossible_claim(header: Header, packed_size: int) -> str | None:
    """What the header claims that so few bytes cannot be asked to give; None if nothing.

    A predicted number costs next to nothing where it was expected, so that a small file could keep
    a decoder busy for hours. Packers write more bytes than they need before they ask for more.
    """
    predicted = header.skeleton_bytes if header.skeleton_kind == Kind.BYTES else 0
    for segment in header.segments:
        if segment.kind == Kind.BYTES:
            predicted += segment.count * segment.width
        elif segment.kind == Kind.SYMBOLS:
            predicted += segment.count
        elif segment.kind == Kind.HUFFMAN and segment.count // 8 > segment.size:
            return f"{segment.count:,} codes in {segment.size:,} bytes"
    for what, claim, free, times in (
        ("predicted numbers", predicted, FREE_PREDICTED, MOST_PREDICTED),
        ("bytes", header.unpacked_size, FREE_BYTES, MOST_TIMES),
    ):
        if claim > free + times * packed_size:
            return (
                f"{claim:,} {what} from {packed_size:,} bytes, more than {free:,} and {times:,} "
                "for each"
            )
    return None


def decoder_memory(bits: int, segments: int) -> int:
    """Bytes the C decoder needs beside the file and its unpacked form.

    Args:
        bits: Slots per context, as a power of two.
        segments: How many there are.

    Source: `EKZ_WORK_SIZE` of `c/edgekit_unpack.h`.
    """
    return (34 << bits) + 24 * segments + 14_852


def number_bytes(number: int) -> bytes:
    """A number as it is stored."""
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def read_header(content: bytes) -> tuple[Header, int]:
    """The header of a packed file, and where its payloads begin.

    Raises:
        PackedFileError: It is no packed file, of a version to come, cut or damaged.
    """
    if len(content) < 4 or content[:3] != MARK:
        raise PackedFileError("not an .ekz file: the mark 'EKZ' at its begin is missing")
    if content[3] not in VERSIONS:
        raise PackedFileError(
            f"the .ekz file is of version {content[3]}, this edgekit reads versions "
            f"{' and '.join(map(str, VERSIONS))}: update edgekit"
        )
    outer = _Numbers(content, 4, len(content))
    size = outer.next()
    end = outer.place + size
    if end + 2 > len(content):
        raise PackedFileError(
            f"the .ekz file is cut: its header of {size} bytes is longer than the file"
        )
    if zlib.crc32(content[:end]) & 0xFFFF != int.from_bytes(content[end : end + 2], "little"):
        raise PackedFileError("the .ekz file is damaged: its header's checksum does not match")
    header = _header(_Numbers(content, outer.place, end), content[3])
    packed = header.skeleton_size + sum(segment.size for segment in header.segments)
    if end + 2 + packed + 4 != len(content):
        raise PackedFileError(
            f"the .ekz file is cut or has been added to: it should have {end + 2 + packed + 4} "
            f"bytes and has {len(content)}"
        )
    lie = impossible_claim(header, len(content))
    _check(lie is None, f"claims {lie}")
    return header, end + 2


def _header(numbers: "_Numbers", version: int) -> Header:
    size, bits, skeleton = (numbers.next() for _ in range(3))
    kind = numbers.next() if version > 1 else Kind.BYTES
    count = numbers.next()
    _check(kind in (Kind.BYTES, Kind.LZMA), "has a skeleton of an unknown kind")
    _check(size <= MOST_BYTES, f"claims {size} bytes")
    _check(SMALLEST_BITS <= bits <= LARGEST_BITS, f"claims 2^{bits} slots")
    _check(count <= MOST_SEGMENTS, f"claims {count} segments")
    segments, end = [], 0
    for _ in range(count):
        segment = _segment(numbers, end, version)
        end = segment.end
        _check(segment.count > 0 and end <= size, "has a segment beyond its end")
        if segment.kind == Kind.SCALED:
            inside = segment.source + segment.count * segment.width <= size
            _check(inside and segment.width == 4, "has a segment made from beyond its end")
        segments.append(segment)
    packed = skeleton + sum(segment.size for segment in segments)
    _check(packed <= MOST_BYTES, f"claims {packed} packed bytes")
    _check(numbers.place == numbers.end, "has a header with something behind it")
    return Header(size, bits, skeleton, tuple(segments), Kind(kind))


def _segment(numbers: "_Numbers", end: int, version: int) -> Segment:
    start = end + numbers.next()
    word = numbers.bytes(1)[0]
    kind, fresh, width = word & 7, bool(word & 8), word >> 4
    known = Kind.SCALED if version == 1 else Kind.LZMA
    _check(kind <= known and width < len(WIDTHS), "has a segment of an unknown kind")
    _check(not fresh or kind in (Kind.BYTES, Kind.SYMBOLS), "starts anew what never learned")
    count = numbers.next()
    given = {"start": start, "count": count, "width": WIDTHS[width], "kind": Kind(kind)}
    if kind == Kind.SYMBOLS:
        given |= {"row": numbers.next(), "inner": numbers.next()}
        odd = not 0 < given["row"] <= MOST_BYTES or given["inner"] > MOST_BYTES
        _check(not odd and given["inner"] != 1, "has an odd shape")
    if kind == Kind.SCALED:
        given |= {"source": numbers.next(), "factor": numbers.bytes(4)}
    else:
        given["size"] = numbers.next()
    return Segment(fresh=fresh, **given)


class _Numbers:
    """Reads the header."""

    def __init__(self, content: bytes, place: int, end: int):
        self._content, self.place, self.end = content, place, end

    def next(self) -> int:
        number = 0
        for shift in range(0, 42, 7):
            byte = self.bytes(1)[0]
            number |= (byte & 127) << shift
            if byte < 128:
                return number
        raise PackedFileError("the .ekz file is damaged: it has a number without end")

    def bytes(self, count: int) -> bytes:
        found = self._content[self.place : self.place + count]
        if self.place + count > self.end:
            raise PackedFileError("the .ekz file is cut within its header")
        self.place += count
        return found


def _check(holds: bool, what: str) -> None:
    if not holds:
        raise PackedFileError(f"the .ekz file is damaged: it {what}")

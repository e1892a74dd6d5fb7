"""Ways to pack a constant, each tried by itself."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from converters.packed.bytes_model import code_bytes, nothing_seen
from converters.packed.codebook import Codebook, codebook_of
from converters.packed.coded_symbols import write_dense, write_relative
from converters.packed.constants import Constant
from converters.packed.container import Kind, Segment
from converters.packed.mixing import Mixer, new_mixer
from converters.packed.range_coder import finish, writer
from converters.packed.symbols_model import code_symbols

# Distances at which symbols are looked for that are alike.
_FEWEST_APART, _MOST_APART = 4, 512


@dataclass
class Packable:
    """A constant with its bytes and, where it has few distinct values, its codebook.

    Attributes:
        constant: What and where it is.
        data: Its bytes.
        codebook: Its values, or None.
        symbols: The number of each element's value, or None.
    """

    constant: Constant
    data: np.ndarray
    codebook: Codebook | None
    symbols: np.ndarray | None

    @classmethod
    def of(cls, constant: Constant, content: bytes) -> "Packable":
        """The constant in the bytes of its file."""
        data = np.frombuffer(content, np.uint8, constant.size, constant.start).copy()
        codebook, symbols = codebook_of(data.view(constant.dtype)) or (None, None)
        return cls(constant, data, codebook, symbols)

    @cached_property
    def inner(self) -> int:
        """How far apart symbols are that have most to do with each other; 0 where none have.

        Rows of a Dense kernel behind an image are images again, whose width nobody tells.
        """
        if self.constant.inner or self.constant.row < 2 * _FEWEST_APART:
            return self.constant.inner
        there = (self.symbols != 0).astype(np.float32)
        there -= there.mean()
        apart = range(_FEWEST_APART, min(self.constant.row // 2, _MOST_APART))
        alike = np.array([there[distance:] @ there[:-distance] for distance in apart])
        if not len(alike) or alike.max() < alike.mean() + 4 * alike.std():
            return 0
        return apart[int(np.argmax(alike))]

    @property
    def width(self) -> int:
        """Bytes of a number."""
        return np.dtype(self.constant.dtype).itemsize

    def segment(self, kind: Kind, **more) -> Segment:
        """The segment it becomes, not packed yet."""
        constant = self.constant
        return Segment(constant.start, len(self.data) // self.width, self.width, kind, **more)

    def kinds(self, coders: tuple[Kind, ...]) -> list[Kind]:
        """Those among the coders that it can be packed by."""
        with_codebook = (Kind.SYMBOLS, Kind.HUFFMAN, Kind.RELATIVE)
        return [
            kind
            for kind in coders
            if (kind not in with_codebook or self.codebook is not None)
            and (kind != Kind.RELATIVE or bool(self.symbols.any()))
        ]


def encode(packable: Packable, kind: Kind, mixer: Mixer) -> tuple[Segment, bytes]:
    """The segment and its payload, packed by one kind; the mixer goes on learning."""
    constant = packable.constant
    if kind == Kind.STORED:
        payload, more = packable.data.tobytes(), {}
    elif kind == Kind.BYTES:
        payload, more = encode_bytes(packable.data, packable.width, mixer), {}
    elif kind == Kind.SYMBOLS:
        more = {"row": constant.row, "inner": packable.inner}
        payload = packable.codebook.tobytes() + _encode_symbols(packable, mixer, **more)
    else:
        write = write_dense if kind == Kind.HUFFMAN else write_relative
        payload = packable.codebook.tobytes() + write(packable.symbols, len(packable.codebook))
        more = {}
    return packable.segment(kind, size=len(payload), **more), payload


def encode_bytes(data: np.ndarray, stride: int, mixer: Mixer) -> bytes:
    """Bytes by the model of bytes."""
    payload, state = np.zeros(len(data) * 3 + 64, np.uint8), writer()
    code_bytes(mixer, nothing_seen(mixer.bits), state, payload, data, stride)
    return finish(state, payload)


def _encode_symbols(packable: Packable, mixer: Mixer, row: int, inner: int) -> bytes:
    codebook, symbols = packable.codebook, packable.symbols
    payload, state = np.zeros(len(symbols) * 3 + 64, np.uint8), writer()
    code_symbols(mixer, state, payload, symbols, len(codebook), row, inner, codebook.negative)
    return finish(state, payload)


def cheapest_kind(packable: Packable, coders: tuple[Kind, ...], bits: int) -> Kind:
    """The kind that packs it smallest by itself."""
    kinds = packable.kinds(coders)
    if len(kinds) == 1:
        return kinds[0]
    sizes = {kind: len(encode(packable, kind, new_mixer(bits))[1]) for kind in kinds}
    return min(sizes, key=sizes.get)


def encode_next(packable: Packable, kind: Kind, mixer: Mixer) -> tuple[Segment, bytes, Mixer]:
    """Pack with what was learned before or without it, whichever is smaller.

    Returns:
        The segment, its payload, and the mixer for what comes after.
    """
    if kind not in (Kind.BYTES, Kind.SYMBOLS):
        return *encode(packable, kind, mixer), mixer
    anew, going_on = new_mixer(mixer.bits), _copy(mixer)
    ways = []
    for fresh, used in ((False, going_on), (True, anew)):
        segment, payload = encode(packable, kind, used)
        ways.append((replace(segment, fresh=fresh), payload, used))
    return min(ways, key=lambda way: len(way[1]))


def _copy(mixer: Mixer) -> Mixer:
    return Mixer(*(part.copy() if isinstance(part, np.ndarray) else part for part in mixer))

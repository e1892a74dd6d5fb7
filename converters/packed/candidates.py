"""Ways to pack a constant, each tried by itself."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from converters.packed.bytes_model import code_bytes, nothing_seen
from converters.packed.codebook import Codebook, codebook_of
from converters.packed.coded_symbols import write_dense, write_relative
from converters.packed.constants import Constant
from converters.packed.container import Kind, Segment
from converters.packed.lzma_stream import write_lzma
from converters.packed.mixing import Mixer, new_mixer
from converters.packed.range_coder import finish, octets, writer
from converters.packed.symbols_model import code_symbols

# Kinds that a mixer predicts, which take time.
PREDICTED = (Kind.BYTES, Kind.SYMBOLS)
# By so many numbers it is decided how all are packed.
BEGIN = 8192
# LZMA sees stretches that come again, Huffman codes do not.
_REPEATING = 0.9
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
        found = None if constant.blob else codebook_of(data.view(constant.dtype))
        codebook, symbols = found or (None, None)
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

    def begin(self, count: int) -> "Packable":
        """Its first numbers, as if there were no more."""
        if count * self.width >= len(self.data):
            return self
        symbols = None if self.symbols is None else self.symbols[:count]
        found = Packable(self.constant, self.data[: count * self.width], self.codebook, symbols)
        found.inner = self.inner if symbols is not None else 0
        return found


@dataclass(frozen=True)
class Choice:
    """How a constant is to be packed.

    Attributes:
        kind: What is expected to be smallest.
        other: The smallest without prediction, and its payload; None where there is none. What is
            predicted may turn out larger.
        begin_anew: Bytes of its first numbers, packed without what was learned before; None where
            that has not been tried.
    """

    kind: Kind
    other: tuple[Kind, bytes] | None
    begin_anew: int | None = None


def choose(packable: Packable, coders: tuple[Kind, ...], bits: int) -> Choice:
    """The kind that packs it smallest by itself, as far as its first numbers tell.

    Without prediction sizes cost next to nothing. Where they say that stretches repeat, as only
    some kinds see, the kinds that predict are tried on all of it.
    """
    kinds = packable.kinds(coders)
    told = {k: encode(packable, k, None)[1] for k in kinds if k not in PREDICTED}
    smallest = min(told, key=lambda kind: len(told[kind]), default=None)
    other = None if smallest is None else (smallest, told[smallest])
    predicted = [kind for kind in kinds if kind in PREDICTED]
    if not predicted:
        return Choice(smallest, None)
    if len(predicted) == 1:
        return Choice(predicted[0], other)
    huffman, lzma = (len(told.get(k, packable.data)) for k in (Kind.HUFFMAN, Kind.LZMA))
    repeats = lzma < _REPEATING * huffman
    part = packable if repeats else packable.begin(BEGIN)
    sizes = {kind: len(encode(part, kind, new_mixer(bits))[1]) for kind in predicted}
    kind = min(sizes, key=sizes.get)
    told_by_begin = len(part.data) == len(packable.begin(BEGIN).data)
    return Choice(kind, other, sizes[kind] if told_by_begin else None)


def encode(packable: Packable, kind: Kind, mixer: Mixer | None) -> tuple[Segment, bytes]:
    """The segment and its payload, packed by one kind; the mixer goes on learning."""
    constant, more = packable.constant, {}
    if kind == Kind.STORED:
        payload = packable.data.tobytes()
    elif kind == Kind.LZMA:
        payload = write_lzma(packable.data.tobytes(), extreme=constant.blob)
    elif kind == Kind.BYTES:
        payload = encode_bytes(packable.data, packable.width, mixer)
    elif kind == Kind.SYMBOLS:
        more = {"row": constant.row, "inner": packable.inner}
        payload = packable.codebook.tobytes() + _encode_symbols(packable, mixer, **more)
    else:
        write = write_dense if kind == Kind.HUFFMAN else write_relative
        payload = packable.codebook.tobytes() + write(packable.symbols, len(packable.codebook))
    return packable.segment(kind, size=len(payload), **more), payload


def encode_bytes(data: np.ndarray, stride: int, mixer: Mixer) -> bytes:
    """Bytes by the model of bytes."""
    payload, state = octets(np.zeros(len(data) * 3 + 64, np.uint8)), writer()
    code_bytes(mixer, nothing_seen(mixer.bits), state, payload, octets(data), stride)
    return finish(state, payload)


def _encode_symbols(packable: Packable, mixer: Mixer, row: int, inner: int) -> bytes:
    codebook, symbols = packable.codebook, octets(packable.symbols)
    payload, state = octets(np.zeros(len(symbols) * 3 + 64, np.uint8)), writer()
    code_symbols(mixer, state, payload, symbols, len(codebook), row, inner, codebook.negative)
    return finish(state, payload)


def encode_next(
    packable: Packable, kind: Kind, mixer: Mixer, begin_anew: int | None = None
) -> tuple[Segment, bytes, Mixer]:
    """Pack with what was learned before or without it, as makes the first numbers smaller.

    Args:
        packable: What is packed.
        kind: How.
        mixer: What was learned before; it stays as it is.
        begin_anew: As in `Choice`.

    Returns:
        The segment, its payload, and the mixer for what comes after.
    """
    if kind not in PREDICTED:
        return *encode(packable, kind, mixer), mixer
    part = packable.begin(BEGIN)
    going_on = _copy(mixer)
    segment, payload = encode(part, kind, going_on)
    if begin_anew is None:
        begin_anew = len(encode(part, kind, new_mixer(mixer.bits))[1])
    fresh = begin_anew < len(payload)
    if part is packable and not fresh:
        return segment, payload, going_on
    used = new_mixer(mixer.bits) if fresh else _copy(mixer)
    segment, payload = encode(packable, kind, used)
    return replace(segment, fresh=fresh), payload, used


def _copy(mixer: Mixer) -> Mixer:
    return Mixer(*(part if isinstance(part, int) else part.copy() for part in mixer))

"""`unpack`: a `.tflite` from the `.ekz` it was packed into, byte for byte."""

import os
import zlib
from collections.abc import Callable

import numpy as np

from converters.files import existing_file
from converters.flatbuffer import Flatbuffer
from converters.packed.bytes_model import code_bytes, nothing_seen
from converters.packed.codebook import read_codebook
from converters.packed.coded_symbols import read_dense, read_relative
from converters.packed.coding_progress import CodingProgress, telling
from converters.packed.container import (
    ORDER,
    Header,
    Kind,
    PackedFileError,
    Segment,
    read_header,
)
from converters.packed.lzma_stream import read_lzma
from converters.packed.mixing import Mixer, new_mixer
from converters.packed.packed_file import PackedFile
from converters.packed.range_coder import octets, reader
from converters.packed.symbols_model import code_symbols


def unpack(
    packed: PackedFile | bytes | str | os.PathLike,
    on_progress: Callable[[int, int], None] | None = None,
) -> Flatbuffer:
    """The `.tflite` inside an `.ekz` file, the same bytes that were packed.

    Example:
        >>> unpack("model.ekz").save("model.tflite")

    Args:
        packed: The file's path, its bytes, or what `pack` gave.
        on_progress: Called with how much has been read and about how much will be; without numba
            (extra `pack`) a byte takes about a tenth of a millisecond. Defaults to `None`.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no `.ekz` file, of a version to come, cut or damaged.
    """
    if isinstance(packed, PackedFile):
        packed = packed.content
    if isinstance(packed, (bytes, bytearray, memoryview)):
        return Flatbuffer(unpacked_bytes(bytes(packed), on_progress))
    if not isinstance(packed, (str, os.PathLike)):
        raise TypeError(
            "`packed` must be the path of an .ekz file, or its bytes. "
            f"Received: {type(packed).__name__}"
        )
    path = existing_file(packed)
    try:
        return Flatbuffer(unpacked_bytes(path.read_bytes(), on_progress))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def unpacked_bytes(packed: bytes, on_progress: Callable[[int, int], None] | None = None) -> bytes:
    """What was packed, checked.

    Args:
        packed: The file's bytes.
        on_progress: As of `unpack`. Defaults to `None`.

    Raises:
        PackedFileError: It is no packed file, of a version to come, cut or damaged.
    """
    header, place = read_header(packed)
    if on_progress is None:
        return _checked(packed, header, place)
    predicted = [s.count for s in header.segments if s.kind in (Kind.BYTES, Kind.SYMBOLS)]
    progress = CodingProgress(header.skeleton_bytes + sum(predicted), on_progress)
    with telling(progress):
        content = _checked(packed, header, place)
    progress.end()
    return content


def _checked(packed: bytes, header: Header, place: int) -> bytes:
    # A copy, since compiled code wants all arrays of one kind, writable ones.
    payloads = np.frombuffer(packed, np.uint8).copy()
    found = np.zeros(header.unpacked_size, np.uint8)
    mixer = new_mixer(header.bits)
    try:
        place = _skeleton(header, mixer, payloads, place, found)
        for kind in ORDER:
            if kind == Kind.SYMBOLS:
                mixer = new_mixer(header.bits)
            for segment in header.segments:
                if segment.kind != kind:
                    continue
                if segment.fresh:
                    mixer = new_mixer(header.bits)
                payload = payloads[place : place + segment.size]
                place += segment.size
                _decode(segment, mixer, payload, found)
    except PackedFileError:
        raise
    except ValueError as error:
        raise PackedFileError(f"the .ekz file is damaged: {error}") from None
    content = found.tobytes()
    checksum = zlib.crc32(content, zlib.crc32(packed[:-4]))
    if checksum != int.from_bytes(packed[-4:], "little"):
        raise PackedFileError("the .ekz file is damaged: its checksum does not match")
    return content


def _skeleton(header: Header, mixer, payloads, place, found) -> int:
    payload = payloads[place : place + header.skeleton_size]
    if header.skeleton_kind == Kind.LZMA:
        unpacked = read_lzma(payload.tobytes(), header.skeleton_bytes)
        skeleton = np.frombuffer(unpacked, np.uint8)
    else:
        skeleton = read_bytes(payload, header.skeleton_bytes, 4, mixer)
    end = taken = 0
    for segment in header.segments:
        gap = segment.start - end
        found[end : segment.start] = skeleton[taken : taken + gap]
        taken, end = taken + gap, segment.end
    found[end:] = skeleton[taken:]
    return place + header.skeleton_size


def read_bytes(payload: np.ndarray, size: int, stride: int, mixer: Mixer) -> np.ndarray:
    """So many bytes by the model of bytes; as `encode_bytes`."""
    payload, data = octets(payload), octets(np.zeros(size, np.uint8))
    code_bytes(mixer, nothing_seen(mixer.bits), reader(payload), payload, data, stride)
    return np.frombuffer(data, np.uint8)


def _decode(segment: Segment, mixer, payload: np.ndarray, found: np.ndarray) -> None:
    out = found[segment.start : segment.end]
    if segment.kind == Kind.STORED:
        if len(payload) != len(out):
            raise ValueError("a stored segment of another size")
        out[:] = payload
    elif segment.kind == Kind.BYTES:
        out[:] = read_bytes(payload, len(out), segment.width, mixer)
    elif segment.kind == Kind.LZMA:
        out[:] = np.frombuffer(read_lzma(payload.tobytes(), len(out)), np.uint8)
    elif segment.kind == Kind.SCALED:
        source = found[segment.source : segment.source + len(out)].view("<f4")
        with np.errstate(all="ignore"):
            product = source * np.frombuffer(segment.factor, "<f4")
        out[:] = product.astype("<f4").view(np.uint8)
    else:
        codebook, used = read_codebook(payload, segment.width)
        symbols = np.zeros(segment.count, np.uint8)
        symbols = _read_symbols(segment, mixer, codebook, payload[used:], symbols)
        out[:] = codebook.values[symbols].ravel()


def _read_symbols(segment, mixer, codebook, payload, symbols) -> np.ndarray:
    count = len(codebook)
    if segment.kind == Kind.SYMBOLS:
        payload, symbols = octets(payload), octets(symbols)
        state, shape = reader(payload), (segment.row, segment.inner)
        if not code_symbols(mixer, state, payload, symbols, count, *shape, codebook.negative):
            raise ValueError("a number beyond its codebook")
        return np.frombuffer(symbols, np.uint8)
    read = read_dense if segment.kind == Kind.HUFFMAN else read_relative
    if not read(payload, symbols, count):
        raise ValueError("Huffman codes that end too early or say too much")
    return symbols

"""`unpack`: a `.tflite` from the `.ekz` it was packed into, byte for byte."""

import os
import zlib

import numpy as np

from converters.files import existing_file
from converters.flatbuffer import Flatbuffer
from converters.packed.bytes_model import code_bytes, nothing_seen
from converters.packed.codebook import read_codebook
from converters.packed.coded_symbols import read_dense, read_relative
from converters.packed.container import Header, Kind, PackedFileError, Segment, read_header
from converters.packed.mixing import new_mixer
from converters.packed.range_coder import reader
from converters.packed.symbols_model import code_symbols


def unpack(packed: bytes | str | os.PathLike) -> Flatbuffer:
    """The `.tflite` inside an `.ekz` file, the same bytes that were packed.

    Example:
        >>> unpack("model.ekz").save("model.tflite")

    Args:
        packed: The file's path, or its bytes.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is no `.ekz` file, of a version to come, cut or damaged.
    """
    if isinstance(packed, (bytes, bytearray, memoryview)):
        return Flatbuffer(unpacked_bytes(bytes(packed)))
    if not isinstance(packed, (str, os.PathLike)):
        raise TypeError(
            "`packed` must be the path of an .ekz file, or its bytes. "
            f"Received: {type(packed).__name__}"
        )
    path = existing_file(packed)
    try:
        return Flatbuffer(unpacked_bytes(path.read_bytes()))
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None


def unpacked_bytes(packed: bytes) -> bytes:
    """What was packed, checked.

    Raises:
        PackedFileError: It is no packed file, of a version to come, cut or damaged.
    """
    header, place = read_header(packed)
    # A copy, since compiled code wants all arrays of one kind, writable ones.
    payloads = np.frombuffer(packed, np.uint8).copy()
    found = np.zeros(header.unpacked_size, np.uint8)
    mixer = new_mixer(header.bits)
    try:
        place = _skeleton(header, mixer, payloads, place, found)
        for kind in Kind:
            if kind == Kind.SYMBOLS:
                mixer = new_mixer(header.bits)
            for segment in header.segments:
                if segment.kind != kind:
                    continue
                if segment.fresh:
                    mixer = new_mixer(header.bits)
                payload = payloads[place : place + segment.size]
                place += segment.size
                _decode(segment, mixer, header.bits, payload, found)
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
    holes = sum(segment.end - segment.start for segment in header.segments)
    skeleton = np.zeros(header.unpacked_size - holes, np.uint8)
    payload = payloads[place : place + header.skeleton_size]
    code_bytes(mixer, nothing_seen(header.bits), reader(payload), payload, skeleton, 4)
    end = taken = 0
    for segment in header.segments:
        gap = segment.start - end
        found[end : segment.start] = skeleton[taken : taken + gap]
        taken, end = taken + gap, segment.end
    found[end:] = skeleton[taken:]
    return place + header.skeleton_size


def _decode(segment: Segment, mixer, bits: int, payload: np.ndarray, found: np.ndarray) -> None:
    out = found[segment.start : segment.end]
    if segment.kind == Kind.STORED:
        if len(payload) != len(out):
            raise ValueError("a stored segment of another size")
        out[:] = payload
    elif segment.kind == Kind.BYTES:
        code_bytes(mixer, nothing_seen(bits), reader(payload), payload, out, segment.width)
    elif segment.kind == Kind.SCALED:
        source = found[segment.source : segment.source + len(out)].view("<f4")
        with np.errstate(all="ignore"):
            product = source * np.frombuffer(segment.factor, "<f4")
        out[:] = product.astype("<f4").view(np.uint8)
    else:
        codebook, used = read_codebook(payload, segment.width)
        symbols = np.zeros(segment.count, np.uint8)
        _read_symbols(segment, mixer, codebook, payload[used:], symbols)
        out[:] = codebook.values[symbols].ravel()


def _read_symbols(segment, mixer, codebook, payload, symbols) -> None:
    count = len(codebook)
    if segment.kind == Kind.SYMBOLS:
        state, shape = reader(payload), (segment.row, segment.inner)
        if not code_symbols(mixer, state, payload, symbols, count, *shape, codebook.negative):
            raise ValueError("a number beyond its codebook")
        return
    read = read_dense if segment.kind == Kind.HUFFMAN else read_relative
    if not read(payload, symbols, count):
        raise ValueError("Huffman codes that end too early or say too much")

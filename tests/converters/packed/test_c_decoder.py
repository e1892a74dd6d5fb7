"""The decoder in C gives what the one in Python gives, and refuses what it refuses."""

import ctypes
import re
import shutil
import subprocess
import zlib
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import edgekit as ek
from converters.packed import pack
from converters.packed.candidates import Packable, encode_bytes, encode_next
from converters.packed.compiled import FAST
from converters.packed.constants import Constant
from converters.packed.container import (
    Header,
    Kind,
    PackedFileError,
    Segment,
    number_bytes,
    read_header,
)
from converters.packed.mixing import new_mixer
from converters.packed.unpacking import unpacked_bytes

HERE = Path(__file__).parent / "c"
SOURCES = Path(__file__).parents[3] / "converters" / "packed" / "c"
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
C99 = ["gcc", "-std=c99", *STRICT]
STATUSES = re.findall(r"^  (EKZ_\w+)[ ,]", (SOURCES / "edgekit_unpack.h").read_text(), re.M)
GUARD = 48

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


def built(command: list[str], source: Path, to: Path) -> Path:
    result = subprocess.run(
        [*command, f"-I{SOURCES}", str(source), "-o", str(to)], capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    assert not result.stderr
    return to


def needs_to_link(command: list[str], folder: Path, what: str) -> None:
    (folder / "empty.c").write_text("#include <string.h>\nint main(void) { return 0; }\n")
    program = [*command, str(folder / "empty.c"), "-o", str(folder / "empty")]
    if subprocess.run(program, capture_output=True).returncode:
        pytest.skip(f"needs {what}")


class Facts(ctypes.Structure):
    _fields_ = [
        (name, ctypes.c_uint32)
        for name in ("version", "unpacked_size", "packed_size", "work_size", "segments")
    ]


READ = ctypes.CFUNCTYPE(ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_size_t)


class Decoder:
    """The C decoder; buffers lie between bytes that must stay as they are."""

    def __init__(self, library: Path):
        self._library = ctypes.CDLL(str(library))
        self._library.ekz_message.restype = ctypes.c_char_p

    def look(self, packed: bytes) -> tuple[str, Facts]:
        facts = Facts()
        size = ctypes.c_size_t(len(packed))
        return STATUSES[self._library.ekz_look(packed, size, ctypes.byref(facts))], facts

    def unpack(self, packed, out_size=None, work_size=None, shift=0, pieces=None):
        """The status, and what was written if it is EKZ_OK."""
        _, facts = self.look(packed)
        out_size = min(facts.unpacked_size, 10**6) if out_size is None else out_size
        work_size = min(facts.work_size, 10**8) if work_size is None else work_size
        out, out_place = self._buffer(out_size, 0)
        work, work_place = self._buffer(work_size, shift)
        buffers = (
            ctypes.c_void_p(out_place),
            ctypes.c_size_t(out_size),
            ctypes.c_void_p(work_place),
            ctypes.c_size_t(work_size),
        )
        if pieces is None:
            status = self._library.ekz_unpack(packed, ctypes.c_size_t(len(packed)), *buffers)
        else:
            status = self._library.ekz_unpack_from(READ(pieces), None, *buffers)
        for buffer, size, before in ((out, out_size, GUARD), (work, work_size, GUARD + shift)):
            assert buffer.raw[:before] == b"\xa5" * before
            assert buffer.raw[before + size :].strip(b"\xa5") == b""
        return STATUSES[status], out.raw[GUARD : GUARD + out_size] if status == 0 else None

    def message(self, status: str) -> str:
        return self._library.ekz_message(STATUSES.index(status)).decode()

    def work_size(self, bits: int, segments: int) -> int:
        return self._library.ekz_work_size(bits, segments)

    @staticmethod
    def _buffer(size, shift):
        content = b"\xa5" * (size + 2 * GUARD + shift)
        buffer = (ctypes.c_char * len(content)).from_buffer_copy(content)
        return buffer, ctypes.addressof(buffer) + GUARD + shift


@pytest.fixture(scope="module")
def folder_of_programs(tmp_path_factory):
    return tmp_path_factory.mktemp("c_decoder")


@pytest.fixture(scope="module")
def source(folder_of_programs):
    """A source file that holds the decoder and nothing else."""
    path = folder_of_programs / "decoder.c"
    path.write_text('#define EDGEKIT_UNPACK_IMPLEMENTATION\n#include "edgekit_unpack.h"\n')
    return path


@pytest.fixture(scope="module")
def decoder(source, folder_of_programs):
    return Decoder(
        built([*C99, "-O2", "-shared", "-fPIC"], source, folder_of_programs / "libdecoder.so")
    )


@pytest.fixture(scope="module")
def program(folder_of_programs):
    return built([*C99, "-O1", "-g"], HERE / "decode_main.c", folder_of_programs / "decode_main")


@pytest.fixture(scope="module")
def sanitized_fuzzer(folder_of_programs):
    command = [*C99, "-O1", "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    needs_to_link(command, folder_of_programs, "gcc's sanitizers")
    return built(command, HERE / "fuzz_main.c", folder_of_programs / "fuzz_main")


def crafted(*parts, bits=6) -> tuple[bytes, bytes]:
    """A packed file, and the bytes in it.

    Args:
        parts: Bytes that are in no segment; or an array and how it is packed; or an array that is
            made of another, `Kind.SCALED`, where that is, and the factor.
        bits: Each context has two to the power of this slots.
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
    for kind in Kind:
        if kind == Kind.SYMBOLS:
            mixer = new_mixer(bits)
        for constant, wanted in constants:
            if wanted == kind:
                found = encode_next(Packable.of(constant, content), kind, mixer)
                segment, payload, mixer = found
                segments.append(segment)
                body += payload
    segments.sort(key=lambda segment: segment.start)
    packed = Header(len(content), bits, len(front), tuple(segments)).tobytes() + body
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
    "all kinds": (
        TEXT,
        (few("int8", (4, 8)), Kind.SYMBOLS),
        (few("int8", 20, seed=1), Kind.STORED),
        b"between",
        (few("int8", 64, zeros=0.9, seed=2), Kind.RELATIVE),
        (numbers(10), Kind.BYTES),
        (few("int16", 30, seed=3), Kind.HUFFMAN),
        (scaled(numbers(10), 0.25), Kind.SCALED, 41 + 32 + 20 + 7 + 64, 0.25),
        (few("int16", (3, 9), seed=4), Kind.SYMBOLS),
        TEXT[::-1],
    ),
}
SMALL = ["symbols", "symbols of 2", "huffman", "relative", "scaled", "all kinds"]


@pytest.fixture(scope="module")
def crafts():
    return {name: crafted(*parts) for name, parts in FILES.items()}


@pytest.fixture(scope="module")
def models():
    """Models whose constants are packed in all ways, as `.tflite`."""
    keras.utils.set_random_seed(0)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(16, 3, activation="relu", name="conv")(image)
    x = layers.Conv2D(8, 3, name="sparse")(x)
    x = layers.Dense(8, name="dense")(layers.Flatten()(x))
    model = keras.Model(image, x)
    for name, zeros in (("conv", 0.2), ("sparse", 0.95), ("dense", 0.1)):
        kernel = model.get_layer(name).kernel
        kernel.assign(few("float32", kernel.shape, 12, zeros) / 100)
    samples = np.random.default_rng(0).random((8, 8, 8, 3)).astype("float32")
    return ek.convert(model, ["float32", "int8"], calibration=samples)


def test_all_statuses_were_found_in_the_header():
    assert (STATUSES[0], STATUSES[-1], len(STATUSES)) == ("EKZ_OK", "EKZ_WORK_TOO_SMALL", 15)


@pytest.mark.parametrize("optimized", ["-Os", "-O3"])
@pytest.mark.parametrize(
    "compiler",
    [
        C99,
        [*C99, "-m32"],
        ["g++", "-std=c++11", "-Wall", "-Wextra", "-Werror", "-x", "c++"],
        ["clang", "-std=c99", *STRICT],
    ],
    ids=["c99", "32 bits", "c++", "clang"],
)
def test_compilers_take_it(compiler, optimized, source, tmp_path):
    if shutil.which(compiler[0]) is None:
        pytest.skip(f"needs {compiler[0]}")
    needs_to_link(compiler, tmp_path, "the libraries for 32 bits")
    built([*compiler, optimized, "-c"], source, tmp_path / "decoder.o")


def test_it_calls_nothing_but_memory_functions_and_keeps_no_state(source, tmp_path):
    if shutil.which("nm") is None:
        pytest.skip("needs nm")
    flags = ["-O1", "-fno-pic", "-fno-stack-protector", "-c"]
    built([*C99, *flags], source, tmp_path / "decoder.o")
    listed = subprocess.run(["nm", tmp_path / "decoder.o"], capture_output=True, text=True).stdout
    symbols = [line.split()[-2:] for line in listed.splitlines()]
    assert {name for kind, name in symbols if kind == "U"} <= {"memcpy", "memmove", "memset"}
    assert not [name for kind, name in symbols if kind in "dDbBcC"]
    assert {name for kind, name in symbols if kind == "T"} == {
        "ekz_look",
        "ekz_message",
        "ekz_unpack",
        "ekz_unpack_from",
        "ekz_work_size",
    }


@pytest.mark.parametrize("name", FILES)
def test_it_gives_the_same_bytes(name, crafts, decoder):
    packed, content = crafts[name]
    assert unpacked_bytes(packed) == content
    assert decoder.unpack(packed) == ("EKZ_OK", content)


def test_every_kind_is_among_them(crafts):
    kinds = {
        segment.kind for packed, _ in crafts.values() for segment in read_header(packed)[0].segments
    }
    assert kinds == set(Kind)


@pytest.mark.parametrize("bits", [7, 10, 15, 16])
def test_with_any_number_of_slots(bits, decoder):
    packed, content = crafted(*FILES["all kinds"], bits=bits)
    assert decoder.unpack(packed) == ("EKZ_OK", content)


def test_segments_that_start_anew_or_not(decoder):
    halves = [(few("int8", (8, 40), seed=seed), Kind.SYMBOLS) for seed in (0, 0, 1)]
    other = (every_byte(), Kind.SYMBOLS), (numbers(40), Kind.BYTES), (few("int8", 80), Kind.BYTES)
    packed, content = crafted(TEXT, *halves, *other)
    assert {segment.fresh for segment in read_header(packed)[0].segments} == {True, False}
    assert decoder.unpack(packed) == ("EKZ_OK", content)


@pytest.mark.parametrize("file", ["float32", "int8"])
@pytest.mark.parametrize("how", [{}, {"coder": "huffman"}, {"memory": 32_000}], ids=str)
@pytest.mark.skipif(not FAST, reason="takes minutes without numba")
def test_models(file, how, models, decoder):
    packed = pack(models[file], **how)
    assert len(packed.constants) > 2
    assert decoder.unpack(packed.content) == ("EKZ_OK", models[file].content)


@pytest.mark.parametrize("name", SMALL)
def test_the_program_reads_files_in_pieces(name, crafts, program, tmp_path):
    packed, content = crafts[name]
    (tmp_path / "model.ekz").write_bytes(packed)
    command = [program, tmp_path / "model.ekz", tmp_path / "model.tflite"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (0, "The .ekz file was unpacked.\n")
    assert (tmp_path / "model.tflite").read_bytes() == content


def test_the_program_says_what_is_wrong(crafts, program, tmp_path):
    (tmp_path / "model.ekz").write_bytes(crafts["symbols"][0][:-5])
    command = [program, tmp_path / "model.ekz", tmp_path / "model.tflite"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (
        1,
        "The .ekz file is cut: bytes are missing at its end.\n",
    )
    assert not (tmp_path / "model.tflite").exists()


@pytest.mark.parametrize(
    ("compiler", "emulator"),
    [(["powerpc-linux-gnu-gcc", "-static"], ["qemu-ppc"]), (["gcc", "-m32", "-mfpmath=387"], [])],
    ids=["highest byte first", "32 bits, floats of 80"],
)
def test_other_computers(compiler, emulator, crafts, tmp_path):
    for tool in (compiler[0], *emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"needs {tool}")
    needs_to_link(compiler, tmp_path, "the libraries for 32 bits")
    program = built([*compiler, "-std=c99"], HERE / "decode_main.c", tmp_path / "decode_main")
    for name, (packed, content) in crafts.items():
        (tmp_path / "model.ekz").write_bytes(packed)
        files = tmp_path / "model.ekz", tmp_path / "model.tflite"
        assert subprocess.run([*emulator, program, *files], capture_output=True).returncode == 0
        assert files[1].read_bytes() == content, name


@pytest.mark.parametrize("name", SMALL)
def test_looking(name, crafts, decoder):
    packed, content = crafts[name]
    header, start = read_header(packed)
    for size in range(start):
        status, facts = decoder.look(packed[:size])
        assert status == ("EKZ_NOT_EKZ" if size < 4 else "EKZ_CUT")
    status, facts = decoder.look(packed[:start])
    assert status == "EKZ_OK"
    assert (facts.version, facts.unpacked_size) == (1, len(content))
    assert (facts.packed_size, facts.segments) == (len(packed), len(header.segments))
    assert facts.work_size == (34 << 6) + 24 * len(header.segments) + 14852


def test_the_size_of_the_workspace(decoder):
    assert decoder.work_size(10, 100) == (34 << 10) + 24 * 100 + 14852
    assert [decoder.work_size(*odd) for odd in ((5, 0), (19, 0), (6, 65537))] == [0, 0, 0]


@pytest.mark.parametrize("name", SMALL)
def test_buffers_that_are_too_small(name, crafts, decoder):
    packed, content = crafts[name]
    work_size = decoder.look(packed)[1].work_size
    for out_size in (0, 1, len(content) // 2, len(content) - 1):
        assert decoder.unpack(packed, out_size=out_size) == ("EKZ_OUT_TOO_SMALL", None)
    for size in (0, 1, 23, work_size // 2, work_size - 1):
        assert decoder.unpack(packed, work_size=size) == ("EKZ_WORK_TOO_SMALL", None)


@pytest.mark.parametrize("shift", range(8))
def test_a_workspace_at_any_address(shift, crafts, decoder):
    packed, content = crafts["all kinds"]
    assert decoder.unpack(packed, shift=shift) == ("EKZ_OK", content)


def test_what_is_behind_the_unpacked_file_stays(crafts, decoder):
    packed, content = crafts["all kinds"]
    status, out = decoder.unpack(packed, out_size=len(content) + 99, work_size=10**5)
    assert (status, out) == ("EKZ_OK", content + b"\xa5" * 99)


def reader(data: bytes, largest: int):
    """What gives the data in pieces, and a list of the places it was asked at."""
    places = [0]

    def read(_, into, size):
        given = data[places[-1] : places[-1] + min(size, largest)]
        ctypes.memmove(into, given, len(given))
        places.append(places[-1] + len(given))
        return len(given)

    return read, places


def test_data_in_pieces(crafts, decoder):
    for name, (packed, content) in crafts.items():
        read, places = reader(packed, 10**6)
        assert decoder.unpack(packed, pieces=read) == ("EKZ_OK", content), name
        assert places[-1] == len(packed)


def test_fewer_bytes_than_asked_for_are_the_end(crafts, decoder):
    packed, _ = crafts["all kinds"]
    read, places = reader(packed, 50)
    assert decoder.unpack(packed, pieces=read) == ("EKZ_CUT", None)
    assert places == [0, 50]


def test_what_follows_the_end(crafts, decoder):
    for name, (packed, _) in crafts.items():
        for more in (b"\0", b"more" * 100):
            assert decoder.unpack(packed + more) == ("EKZ_MORE", None), name
            read, _ = reader(packed + more, 10**6)
            assert decoder.unpack(packed + more, pieces=read) == ("EKZ_MORE", None), name
        with pytest.raises(PackedFileError):
            unpacked_bytes(packed + b"\0")


@pytest.mark.parametrize("name", SMALL)
def test_files_cut_anywhere(name, crafts, decoder):
    packed, content = crafts[name]
    facts = decoder.look(packed)[1]
    sizes = {"out_size": len(content), "work_size": facts.work_size}
    for size in range(len(packed)):
        cut = packed[:size]
        expected = ("EKZ_NOT_EKZ" if size < 4 else "EKZ_CUT", None)
        assert decoder.unpack(cut, **sizes) == expected
        assert decoder.unpack(cut, pieces=reader(cut, 10**6)[0], **sizes) == expected
        with pytest.raises(PackedFileError, match="cut|not an"):
            unpacked_bytes(cut)


@pytest.mark.parametrize("name", ["symbols", "all kinds"])
def test_files_damaged_anywhere(name, crafts, decoder):
    packed, content = crafts[name]
    start = read_header(packed)[1]
    sizes = {"out_size": len(content), "work_size": 10**5}
    found = set()
    for place in range(len(packed)):
        for mask in (1, 0x80):
            damaged = bytearray(packed)
            damaged[place] ^= mask
            damaged = bytes(damaged)
            status, out = decoder.unpack(damaged, **sizes)
            assert out is None
            if place < 4:
                assert status == ("EKZ_NEWER" if place == 3 else "EKZ_NOT_EKZ")
            elif 5 < place < start:
                assert status == "EKZ_HEADER_CHECKSUM"
            elif place >= len(packed) - 4:
                assert status == "EKZ_CHECKSUM"
            found.add(status)
            read, _ = reader(damaged, 10**6)
            assert decoder.unpack(damaged, pieces=read, **sizes)[0] != "EKZ_OK"
            with pytest.raises(PackedFileError, match="ekz"):
                unpacked_bytes(damaged)
    assert {"EKZ_CHECKSUM", "EKZ_BAD_CODEBOOK"} <= found
    for status in found:
        assert re.fullmatch(r"[A-Z][^.]*( \.ekz)?[^.]*\.", decoder.message(status))


def test_messages(decoder):
    messages = [decoder.message(status) for status in STATUSES]
    assert len(set(messages)) == len(STATUSES)
    assert messages[0] == "The .ekz file was unpacked."


def sealed(*body, payload=b"") -> bytes:
    """A file with this header, whose checksum is right, unlike that of all."""
    joined = b"".join(part if isinstance(part, bytes) else number_bytes(part) for part in body)
    whole = b"EKZ\x01" + number_bytes(len(joined)) + joined
    return whole + (zlib.crc32(whole) & 0xFFFF).to_bytes(2, "little") + payload + bytes(4)


def word(kind, width=0):
    return bytes([kind | width << 4])


HEADERS = {
    "few slots": ("EKZ_BAD_HEADER", [9, 5, 0, 0]),
    "many slots": ("EKZ_BAD_HEADER", [9, 19, 0, 0]),
    "many bytes": ("EKZ_BAD_HEADER", [2**31, 6, 0, 0]),
    "many segments": ("EKZ_BAD_HEADER", [9, 6, 0, 65537]),
    "a number without end": ("EKZ_BAD_HEADER", [b"\x80" * 7 + b"\0", 6, 0, 0]),
    "numbers missing": ("EKZ_BAD_HEADER", [9, 6, 0]),
    "half a number": ("EKZ_BAD_HEADER", [9, 6, 0, b"\x81"]),
    "something behind": ("EKZ_BAD_HEADER", [9, 6, 0, 0, 0]),
    "segments missing": ("EKZ_BAD_HEADER", [9, 6, 0, 2, 0, word(0), 1, 1, 0]),
    "no numbers": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(0), 0, 0]),
    "an unknown kind": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(6), 1, 1]),
    "an unknown width": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(0, 4), 1, 1]),
    "beyond the end": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 9, word(0), 1, 1]),
    "longer than all": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(0), 10, 10]),
    "wider than all": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(0, 3), 2, 16]),
    "second beyond": ("EKZ_BAD_SEGMENT", [9, 6, 0, 2, 0, word(0), 5, 5, 0, word(0), 5, 5]),
    "around all bits": (
        "EKZ_BAD_SEGMENT",
        [2**31 - 1, 6, 0, 2, 0, word(1), 2**31 - 2, 0, 2**31 - 1, word(1), 3, 3],
    ),
    "product around": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(0, 3), 2**29 + 1, 1]),
    "empty rows": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(2), 4, 0, 0, 4]),
    "near itself": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(2), 4, 2, 1, 4]),
    "sizes around all bits": (
        "EKZ_BAD_HEADER",
        [9, 6, 0, 3, *(0, word(1), 1, 2**31 - 1) * 2, 0, word(1), 1, 2],
    ),
    "scaled bytes": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(5), 4, 0, bytes(4)]),
    "source beyond": ("EKZ_BAD_SEGMENT", [9, 6, 0, 1, 0, word(5, 2), 1, 6, bytes(4)]),
    "half a factor": ("EKZ_BAD_HEADER", [9, 6, 0, 1, 0, word(5, 2), 1, 0, bytes(3)]),
}


@pytest.mark.parametrize("name", HEADERS)
def test_headers_that_make_no_sense(name, decoder):
    status, body = HEADERS[name]
    packed = sealed(*body, payload=bytes(9))
    assert decoder.look(packed)[0] == status
    assert decoder.unpack(packed, 10**4, 10**5) == (status, None)
    assert decoder.unpack(packed, 10**4, 10**5, pieces=reader(packed, 10**6)[0])[0] == status
    with pytest.raises(PackedFileError, match="damaged|cut") as error:
        unpacked_bytes(packed)
    assert "checksum" not in str(error.value)


CODEBOOK = b"\x01\x00\x00\x05"  # of two values: 0 and 5
SET = b"\x03\xfe\x00" + b"\xf0" + bytes(31)  # 0 to 3

PAYLOADS = {
    "too few": ("EKZ_BAD_STORED", Kind.STORED, 1, b"abc"),
    "too many": ("EKZ_BAD_STORED", Kind.STORED, 1, b"abcdefghi"),
    "no codebook": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 1, b"\x01"),
    "nothing": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 1, b""),
    "half a codebook": ("EKZ_BAD_CODEBOOK", Kind.HUFFMAN, 2, b"\x01\x00abc"),
    "no bytes of values": ("EKZ_BAD_CODEBOOK", Kind.RELATIVE, 2, b"\x01\x02abcdef"),
    "every byte, but not": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 1, b"\x07\xff" + bytes(20)),
    "every byte of two": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 2, b"\xff\xff" + bytes(600)),
    "a set of another size": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 1, b"\x04" + SET[1:]),
    "a set without its first": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 1, b"\x03\xfe\x09" + SET[3:]),
    "half a set": ("EKZ_BAD_CODEBOOK", Kind.SYMBOLS, 1, SET[:-1]),
    "a second of one": ("EKZ_BAD_SYMBOL", Kind.SYMBOLS, 1, b"\x00\x00\x05"),
    "a fourth of three": ("EKZ_BAD_SYMBOL", Kind.SYMBOLS, 1, b"\x03\x00\x00\x01\x02\x03"),
    "the 257th of all": ("EKZ_BAD_SYMBOL", Kind.SYMBOLS, 1, b"\xff\xff"),
    "no table": ("EKZ_BAD_CODES", Kind.HUFFMAN, 1, CODEBOOK),
    "no codes": ("EKZ_BAD_CODES", Kind.HUFFMAN, 1, CODEBOOK + b"\0" + bytes(9)),
    "too many codes": ("EKZ_BAD_CODES", Kind.HUFFMAN, 1, SET + b"\x11\x10" + bytes(9)),
    "codes that end": ("EKZ_BAD_CODES", Kind.HUFFMAN, 1, SET + b"\x22\x22" + b"a"),
    "bits that are no code": ("EKZ_BAD_CODES", Kind.HUFFMAN, 1, CODEBOOK + b"\x10\xff\xff\xff"),
    "no relative": ("EKZ_BAD_CODES", Kind.RELATIVE, 1, CODEBOOK),
    "small gaps": ("EKZ_BAD_CODES", Kind.RELATIVE, 1, CODEBOOK + b"\x01\x11\x10" + bytes(4)),
    "wide gaps": (
        "EKZ_BAD_CODES",
        Kind.RELATIVE,
        1,
        CODEBOOK + b"\x09\x10" + bytes(255) + b"\x10" + bytes(4),
    ),
    "half a table": ("EKZ_BAD_CODES", Kind.RELATIVE, 1, b"\xff\xff\x02\x10\x00\x10"),
    "no steps": ("EKZ_BAD_CODES", Kind.RELATIVE, 1, CODEBOOK + b"\x02\x10"),
    "no values": ("EKZ_BAD_CODES", Kind.RELATIVE, 1, CODEBOOK + b"\x02\x10\x00"),
    "a codebook of zero": (
        "EKZ_BAD_CODES",
        Kind.RELATIVE,
        1,
        b"\0\0\0" + b"\x02\x10\x00" + bytes(9),
    ),
    "more than there are": (
        "EKZ_BAD_CODES",
        Kind.RELATIVE,
        1,
        CODEBOOK + b"\x02\x10\x00\x10" + b"\x09\0\0\0" + bytes(9),
    ),
    "farther than there are": (
        "EKZ_BAD_CODES",
        Kind.RELATIVE,
        1,
        CODEBOOK + b"\x02\x00\x01\x10" + b"\x01\0\0\0" + bytes(9),
    ),
    "a number that is cut": ("EKZ_BAD_CODES", Kind.RELATIVE, 1, CODEBOOK + b"\x02\x10\x00\x10\x01"),
}


@pytest.mark.parametrize("name", PAYLOADS)
def test_payloads_that_make_no_sense(name, decoder):
    status, kind, width, payload = PAYLOADS[name]
    row = 4 if kind == Kind.SYMBOLS else 0
    segment = Segment(0, 8, width, kind, len(payload), row=row)
    packed = Header(8 * width, 6, 0, (segment,)).tobytes() + payload + bytes(4)
    assert decoder.unpack(packed) == (status, None)
    with pytest.raises(PackedFileError) as error:
        unpacked_bytes(packed)
    # Compiled, Python's decoder takes the 257th symbol for the first, until the checksum.
    if name != "the 257th of all":
        assert "checksum" not in str(error.value)


def fuzzed(fuzzer, files, folder, seed, count) -> dict[str, int]:
    """How often each message came."""
    paths = []
    for number, content in enumerate(files):
        paths.append(folder / f"{number}.ekz")
        paths[-1].write_bytes(content)
    command = [fuzzer, str(seed), str(count), *paths]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    rows = [line.split(maxsplit=1) for line in result.stdout.splitlines()]
    return {message: int(times) for times, message in rows}


def test_damaged_files_under_sanitizers(crafts, decoder, sanitized_fuzzer, tmp_path):
    files = [crafts[name][0] for name in (*SMALL, "every symbol", "stored", "huffman of all")]
    found = fuzzed(sanitized_fuzzer, files, tmp_path, 1, 20_000)
    assert sum(found.values()) == 20_000
    # All that can be wrong was.
    assert set(found) == {decoder.message(status) for status in STATUSES}
    assert min(found.values()) > 0


@pytest.mark.slow
def test_a_million_damaged_files(crafts, sanitized_fuzzer, tmp_path):
    found = fuzzed(sanitized_fuzzer, [p for p, _ in crafts.values()], tmp_path, 2, 1_000_000)
    assert sum(found.values()) == 1_000_000
    assert min(found.values()) > 100


def test_the_fuzzer_finds_a_decoder_that_writes_too_far(crafts, tmp_path):
    """The tests above can fail."""
    decoder = (SOURCES / "edgekit_unpack.h").read_text()
    check = "step < 0 || (uint32_t)step >= count - place"
    assert check in decoder
    (tmp_path / "edgekit_unpack.h").write_text(decoder.replace(check, "step < 0"))
    program = built(["gcc", "-O1", f"-I{tmp_path}"], HERE / "fuzz_main.c", tmp_path / "fuzz_main")
    (tmp_path / "model.ekz").write_bytes(crafts["relative"][0])
    command = [program, "1", "20000", tmp_path / "model.ekz"]
    assert subprocess.run(command, capture_output=True).returncode != 0


def test_valgrind_has_nothing_to_say(crafts, program, tmp_path):
    if shutil.which("valgrind") is None:
        pytest.skip("needs valgrind")
    packed, content = crafts["all kinds"]
    (tmp_path / "model.ekz").write_bytes(packed)
    valgrind = ["valgrind", "--error-exitcode=9", "--leak-check=full", "--show-leak-kinds=all"]
    command = [*valgrind, program, tmp_path / "model.ekz", tmp_path / "model.tflite"]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "ERROR SUMMARY: 0 errors" in result.stderr
    assert "All heap blocks were freed" in result.stderr
    assert (tmp_path / "model.tflite").read_bytes() == content

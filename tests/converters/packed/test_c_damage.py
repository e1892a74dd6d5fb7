"""The decoder in C refuses what the one in Python refuses."""

import re
import shutil
import subprocess
import zlib

import pytest

from converters.packed.container import (
    Header,
    Kind,
    PackedFileError,
    Segment,
    number_bytes,
    read_header,
)
from converters.packed.unpacking import unpacked_bytes
from tests.converters.packed.c_decoder import HERE, SOURCES, STATUSES, built, reader
from tests.converters.packed.crafted_files import SMALL

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


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

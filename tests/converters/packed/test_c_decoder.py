"""The decoder in C gives what the one in Python gives, from any buffer."""

import shutil
import subprocess

import pytest

from converters.packed import pack
from converters.packed.compiled import FAST
from converters.packed.container import Kind, PackedFileError, read_header
from converters.packed.unpacking import unpacked_bytes
from tests.converters.packed.c_decoder import reader
from tests.converters.packed.crafted_files import (
    BY_LZMA,
    FILES,
    SMALL,
    TEXT,
    crafted,
    every_byte,
    few,
    numbers,
)

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


@pytest.mark.parametrize("name", [*FILES, *BY_LZMA])
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


@pytest.mark.parametrize("name", SMALL)
def test_looking(name, crafts, decoder):
    packed, content = crafts[name]
    header, start = read_header(packed)
    for size in range(start):
        status, facts = decoder.look(packed[:size])
        assert status == ("EKZ_NOT_EKZ" if size < 4 else "EKZ_CUT")
    status, facts = decoder.look(packed[:start])
    assert status == "EKZ_OK"
    assert (facts.version, facts.unpacked_size) == (header.version, len(content))
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

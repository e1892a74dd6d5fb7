"""Every compiler takes the decoder in C, and nothing is wrong with its memory."""

import shutil
import subprocess

import pytest

from tests.converters.packed.c_decoder import C99, HERE, STATUSES, STRICT, built, needs_to_link

pytestmark = pytest.mark.skipif(shutil.which("gcc") is None, reason="needs gcc")


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

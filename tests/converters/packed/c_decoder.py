"""The decoder in C, built by gcc and called from Python."""

import ctypes
import re
import subprocess
from pathlib import Path

import pytest

HERE = Path(__file__).parent / "c"
SOURCES = Path(__file__).parents[3] / "converters" / "packed" / "c"
STRICT = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-Wconversion", "-Wshadow"]
C99 = ["gcc", "-std=c99", *STRICT]
STATUSES = re.findall(r"^  (EKZ_\w+)[ ,]", (SOURCES / "edgekit_unpack.h").read_text(), re.M)
GUARD = 48


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


def reader(data: bytes, largest: int):
    """What gives the data in pieces, and a list of the places it was asked at."""
    places = [0]

    def read(_, into, size):
        given = data[places[-1] : places[-1] + min(size, largest)]
        ctypes.memmove(into, given, len(given))
        places.append(places[-1] + len(given))
        return len(given)

    return read, places

"""The C decoder and a packed model as C, for firmware that unpacks at boot."""

import os
from importlib import resources
from pathlib import Path

from converters.files import place_for_folder, write_whole
from converters.packaging.c_text import c_identifier, guarded, wrapped
from converters.packed.packed_file import PackedFile

DECODER = "edgekit_unpack.h"


def write_c_sources(packed: PackedFile, folder: str | os.PathLike, name: str) -> list[Path]:
    """Write the decoder, the packed model as an array, and a program that unpacks it.

    Example:
        >>> write_c_sources(pack("model.tflite"), "firmware", "model")
        [PosixPath('firmware/edgekit_unpack.h'), ...]

    Args:
        packed: From `pack`.
        folder: Where to; made if missing.
        name: What files and code call the model.

    Returns:
        The files written.

    Raises:
        NotADirectoryError: `folder` is a file.
    """
    folder, name = place_for_folder(folder), c_identifier(name)
    folder.mkdir(parents=True, exist_ok=True)
    decoder = resources.files("converters.packed.c").joinpath(DECODER).read_text(encoding="utf-8")
    files = {
        DECODER: decoder,
        f"{name}_ekz.h": _header(packed, name),
        f"{name}_ekz.c": _source(packed, name),
        f"{name}_unpack.c": _program(name),
    }
    return [write_whole(folder / file, text) for file, text in files.items()]


def _header(packed: PackedFile, name: str) -> str:
    upper = name.upper()
    body = f"""#include <stdint.h>

/* Bytes of the .tflite, and of the memory the decoder needs beside it; the interpreter's arena
   will do. */
#define {upper}_UNPACKED_SIZE {packed.unpacked_size}u
#define {upper}_WORK_SIZE {packed.decoder_memory}u
#define {upper}_EKZ_SIZE {packed.size}u

extern const uint8_t g_{name}_ekz[{upper}_EKZ_SIZE];
"""
    return guarded(name, f"{name}_ekz.h", "/* A packed model. */", body)


def _source(packed: PackedFile, name: str) -> str:
    data = wrapped([f"0x{byte:02x}" for byte in packed.content])
    return f"""#include "{name}_ekz.h"

const uint8_t g_{name}_ekz[{name.upper()}_EKZ_SIZE] = {{
{data}
}};
"""


def _program(name: str) -> str:
    upper = name.upper()
    return f"""/* Unpacks the model as firmware does at boot: cc {name}_unpack.c {name}_ekz.c */
#include <stdio.h>

#define EDGEKIT_UNPACK_IMPLEMENTATION
#include "{DECODER}"
#include "{name}_ekz.h"

/* Interpreters want a model at a multiple of 16 bytes. */
static union {{
  uint8_t bytes[{upper}_UNPACKED_SIZE];
  uint64_t aligned[2];
}} model;
static uint8_t work[{upper}_WORK_SIZE];

int main(void) {{
  ekz_status status = ekz_unpack(g_{name}_ekz, {upper}_EKZ_SIZE, model.bytes,
                                 {upper}_UNPACKED_SIZE, work, sizeof work);
  printf("%s\\n", ekz_message(status));
  return status == EKZ_OK ? 0 : 1;
}}
"""

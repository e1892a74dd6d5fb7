"""Compiling the coders before they are needed, so that one can be told what takes so long."""

import numpy as np

from converters.packed.bytes_model import code_bytes, nothing_seen
from converters.packed.coded_symbols import (
    read_dense,
    read_relative,
    write_dense,
    write_relative,
)
from converters.packed.compiled import FAST
from converters.packed.container import SMALLEST_BITS
from converters.packed.mixing import new_mixer
from converters.packed.range_coder import octets, writer
from converters.packed.symbols_model import code_symbols


def compile_coders() -> None:
    """Run each loop over bits once; without numba there is nothing to compile.

    The first time on a machine this takes most of a minute, later a second: numba keeps the code.
    """
    if not FAST:
        return
    mixer, few = new_mixer(SMALLEST_BITS), np.array([0, 1, 2, 0], np.uint8)
    payload = octets(np.zeros(128, np.uint8))
    code_bytes(mixer, nothing_seen(SMALLEST_BITS), writer(), payload, octets(few.copy()), 1)
    code_symbols(mixer, writer(), payload, octets(few.copy()), 3, 2, 0, 1)
    for read, write in ((read_dense, write_dense), (read_relative, write_relative)):
        read(np.frombuffer(write(few, 3), np.uint8).copy(), np.zeros(4, np.uint8), 3)

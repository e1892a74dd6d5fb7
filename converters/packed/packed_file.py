"""A packed model: its bytes, and what became of each constant."""

import os
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from converters.files import write_whole
from converters.one_line import as_cell
from converters.packed.constants import Constant
from converters.packed.container import Kind, decoder_memory, read_header
from converters.packed.rivals import rival_sizes

_COLUMNS = ("constant", "holds", "bytes", "packed", "bits", "zeros", "values", "coder")


@dataclass(frozen=True)
class PackedConstant:
    """One constant, or one vector of scales, as it was packed.

    `bits_per_weight` counts codebook and indices in.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    bytes: int
    packed_bytes: int
    coder: str
    sparsity: float
    distinct: int

    @property
    def bits_per_weight(self) -> float:
        """Packed bits over elements."""
        return 8 * self.packed_bytes / max(1, int(np.prod(self.shape, dtype=np.int64)))


class PackedFile:
    """The bytes of an `.ekz` file and what they hold.

    Args:
        content: The bytes.
        unpacked: Those of the `.tflite`.
        constants: What is inside.

    Attributes:
        content: The bytes of the `.ekz` file.
        constants: Each constant that is packed by itself, as a `PackedConstant`.
        decoder_memory: Bytes the C decoder needs beside the file and its unpacked form.
    """

    def __init__(self, content: bytes, unpacked: bytes, constants: list[Constant]):
        self.content = content
        self._unpacked = unpacked
        header, start = read_header(content)
        self.decoder_memory = decoder_memory(header.bits, len(header.segments))
        self.overhead = start + 4
        self.skeleton_bytes = len(unpacked) - sum(s.end - s.start for s in header.segments)
        self.skeleton_packed_bytes = header.skeleton_size
        named = {constant.start: constant for constant in constants}
        self.constants = [_packed(named[s.start], s, unpacked) for s in header.segments]

    def __repr__(self):
        return f"PackedFile({self.size:,} bytes, {self.ratio:.1f} times smaller)"

    def __str__(self):
        from rich.console import Console

        console = Console(width=120, color_system=None)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get()

    @property
    def size(self) -> int:
        """Bytes of the `.ekz` file."""
        return len(self.content)

    @property
    def unpacked_size(self) -> int:
        """Bytes of the `.tflite` file."""
        return len(self._unpacked)

    @property
    def ratio(self) -> float:
        """How many times smaller the `.ekz` file is than the `.tflite`."""
        return self.unpacked_size / self.size

    @cached_property
    def rivals(self) -> dict[str, int]:
        """Bytes that general compressors make of the same `.tflite`: gzip, xz and zstd."""
        return rival_sizes(self._unpacked)

    def save(self, path: str | os.PathLike) -> Path:
        """Write the `.ekz` file, whole or not at all.

        Raises:
            FileNotFoundError: The folder does not exist.
        """
        return write_whole(path, self.content)

    def to_dict(self) -> dict:
        """All of it for JSON."""
        rows = [asdict(c) | {"bits_per_weight": c.bits_per_weight} for c in self.constants]
        return {
            "bytes": self.unpacked_size,
            "packed_bytes": self.size,
            "ratio": self.ratio,
            "rivals": self.rivals,
            "rest": {"bytes": self.skeleton_bytes, "packed_bytes": self.skeleton_packed_bytes},
            "header_bytes": self.overhead,
            "constants": rows,
        }

    def table(self):
        """A rich table, as wide as a terminal: a row per constant, then the sums.

        `bits` are those of a weight, codebook and indices included; `values` are distinct ones.
        """
        from rich import box
        from rich.table import Table

        rows, sums = self._rows(), self._sums()
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0), show_edge=False)
        for place, name in enumerate(_COLUMNS):
            # Where the terminal is narrow, names are cut and numbers are not.
            widest = max(len(cell) for row in [*rows, *sums] for cell in row[place : place + 1])
            table.add_column(
                name,
                justify="left" if name in ("constant", "holds", "coder") else "right",
                no_wrap=True,
                min_width=None if name == "constant" else max(widest, len(name)),
            )
        for name, *cells in rows:
            table.add_row(as_cell(name), *cells)
        table.add_section()
        for row in sums:
            table.add_row(*row)
        return table

    def _rows(self) -> list[tuple[str, ...]]:
        rows = []
        for c in self.constants:
            if c.packed_bytes:
                holds = f"{c.dtype} {'×'.join(map(str, c.shape))}"
                sizes = f"{c.bytes:,}", f"{c.packed_bytes:,}", f"{c.bits_per_weight:.2f}"
                seen = f"{c.sparsity:.1%}", f"{c.distinct:,}"
                rows.append((_short(c.name), holds, *sizes, *seen, c.coder))
        told = [c.bytes for c in self.constants if not c.packed_bytes]
        if told:
            rows.append(("(told by others)", f"{len(told)} of scales", f"{sum(told):,}", "0"))
        rest = f"{self.skeleton_bytes:,}", f"{self.skeleton_packed_bytes:,}"
        return [
            *rows,
            ("(all else)", "", *rest),
            ("(header, checks)", "", "", f"{self.overhead:,}"),
        ]

    def _sums(self) -> list[tuple[str, ...]]:
        rivals = [(name, "", "", f"{size:,}") for name, size in self.rivals.items()]
        if "zstd -19" not in self.rivals:
            rivals.append(("zstd -19", "extra pack needed", "", "?"))
        return [("whole file", "", f"{self.unpacked_size:,}", f"{self.size:,}"), *rivals]


def _packed(constant: Constant, segment, content: bytes) -> PackedConstant:
    values = np.frombuffer(content, constant.dtype, segment.count, constant.start)
    return PackedConstant(
        name=constant.name + (" (scales)" if constant.scales else ""),
        dtype=constant.dtype,
        shape=constant.shape,
        bytes=constant.size,
        packed_bytes=segment.size,
        coder=Kind(segment.kind).name.lower(),
        sparsity=float(np.mean(values == 0)),
        distinct=len(np.unique(values)),
    )


def _short(name: str, most: int = 18) -> str:
    return name if len(name) <= most else f"…{name[1 - most :]}"

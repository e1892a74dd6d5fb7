"""What models need and give on a microcontroller."""

from dataclasses import asdict, dataclass

from converters.one_line import as_cell
from device_bench.device_result import DeviceResult


@dataclass(frozen=True)
class MicroMeasurement:
    """One model in TensorFlow Lite Micro.

    Attributes:
        name: The model's name.
        file_bytes: Size of the `.tflite`, which lies in flash as it is.
        sha256: Of the file.
        macs: Multiply-accumulates of a run.
        unsupported: Ops that it does not have or run, each with the reason.
        head: Bytes of the arena that tensors share.
        tail: Bytes of the arena that last, as structures and scratch memory do.
        least_arena: Bytes of the smallest arena in which it ran: planning the memory takes some
            for a while.
        code_bytes: Interpreter and kernels, estimated.
        parity: By output the share of values that are those of LiteRT's reference kernels to the
            bit (`equal`) and the `largest` difference, in steps of an integer output; None where
            LiteRT does not run it.
        runs: How many runs were compared.
        error: Why it does not run, or None.
    """

    name: str
    file_bytes: int
    sha256: str
    macs: int
    unsupported: tuple[str, ...] = ()
    head: int | None = None
    tail: int | None = None
    least_arena: int | None = None
    code_bytes: int | None = None
    parity: dict[str, dict[str, float]] | None = None
    runs: int = 0
    error: str | None = None

    @property
    def arena_bytes(self) -> int | None:
        """The least that `kTensorArenaSize` can be on this kind of processor."""
        return None if self.error else self.least_arena

    @property
    def flash_bytes(self) -> int | None:
        """The model and, estimated, the code for it."""
        return None if self.error else self.file_bytes + self.code_bytes


@dataclass(frozen=True)
class MicroResult(DeviceResult):
    """Several models in TensorFlow Lite Micro.

    Attributes:
        measurements: One per model, in the order given.
        settings: Device, versions and what was fed.
        host: The machine, whose pointers have 64 bits: structures in the tail are larger there.
    """

    measurements: tuple[MicroMeasurement, ...]
    settings: dict
    host: dict
    kind = "micro"

    def table(self):
        """The figures as a `rich` table."""
        from rich import box
        from rich.table import Table

        lines = [
            f"tflite-micro {self.settings['tflite-micro']} with {self.settings['kernels']}; bytes. "
            "The arena's tail is larger here than on 32-bit cores, and CMSIS-NN's scratch memory "
            "differs: leave a fifth of room. Code is an estimate. Parity: share of values equal "
            f"to LiteRT's reference kernels, and the largest difference, {self.settings['inputs']}"
        ]
        lines += [f"{m.name} failed: {m.error}" for m in self.measurements if m.error]
        table = Table(box=box.SIMPLE_HEAD, caption="\n".join(lines), caption_justify="left")
        for column in ("model", "file", "code ≈", "flash ≈", "head", "tail", "arena", "parity"):
            table.add_column(column, justify="left" if column == "model" else "right")
        for m in self.measurements:
            table.add_row(as_cell(m.name), *self._cells(m))
        return table

    def _content(self) -> dict:
        rows = [
            asdict(m) | {"arena_bytes": m.arena_bytes, "flash_bytes": m.flash_bytes}
            for m in self.measurements
        ]
        return {"settings": self.settings, "host": self.host, "measurements": rows}

    def _cells(self, m: MicroMeasurement) -> list[str]:
        if m.error:
            return [f"{m.file_bytes:,}", "", "", "", "", "failed", ""]
        sizes = (m.file_bytes, m.code_bytes, m.flash_bytes, m.head, m.tail, m.arena_bytes)
        return [*(f"{size:,}" for size in sizes), _parity(m)]


def _parity(m: MicroMeasurement) -> str:
    if not m.parity:
        return "–"
    equal = min(found["equal"] for found in m.parity.values())
    largest = max(found["largest"] for found in m.parity.values())
    return f"{equal:.1%}, {largest:.3g}"

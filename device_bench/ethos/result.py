"""What models cost on an Ethos-U."""

from dataclasses import asdict, dataclass

from converters.one_line import as_cell
from device_bench.device_result import DeviceResult


@dataclass(frozen=True)
class NpuMeasurement:
    """One model, compiled for an Ethos-U. All figures are Vela's estimates, memory in bytes.

    Attributes:
        name: The model's name.
        file_bytes: Size of the `.tflite`.
        sha256: Of the file.
        cycles: Of a run; its NPU and memory parts overlap.
        milliseconds: The same at the accelerator's clock.
        sram_bytes: On-chip memory it takes.
        flash_bytes: Flash for weights and constants, as they are encoded for the NPU.
        dram_bytes: Memory outside the chip, where the system's memory mode puts things there.
        weight_bytes: Of these, weights.
        original_weight_bytes: What the weights take in the file.
        macs: Multiply-accumulates of a run.
        npu_ops: Ops that run on the NPU, of the `ops` of the file.
        ops: Ops of the file.
        cpu_ops: Names of those left to the processor.
        error: Why it cannot be compiled, or None.
    """

    name: str
    file_bytes: int
    sha256: str
    cycles: int | None = None
    milliseconds: float | None = None
    sram_bytes: int | None = None
    flash_bytes: int | None = None
    dram_bytes: int | None = None
    weight_bytes: int | None = None
    original_weight_bytes: int | None = None
    macs: int | None = None
    npu_ops: int | None = None
    ops: int | None = None
    cpu_ops: tuple[str, ...] = ()
    error: str | None = None


@dataclass(frozen=True)
class NpuResult(DeviceResult):
    """Several models, compiled for an Ethos-U.

    Attributes:
        measurements: One per model, in the order given.
        settings: Device, version of Vela, its system configuration, memory mode and clock.
    """

    measurements: tuple[NpuMeasurement, ...]
    settings: dict
    kind = "npu"

    def table(self):
        """The figures as a `rich` table."""
        from rich import box
        from rich.table import Table

        s = self.settings
        lines = [
            f"{s['device']}, estimated by Vela {s['vela']} for {s.get('system', '–')}, memory mode "
            f"{s.get('memory', '–')}, {s.get('clock_mhz', 0):.0f} MHz; bytes. Arm calls such "
            "estimates possibly optimistic; compare models by them, not devices"
        ]
        lines += [
            f"{m.name}: left to the processor: {', '.join(m.cpu_ops)}"
            for m in self.measurements
            if m.cpu_ops
        ]
        lines += [f"{m.name} failed: {m.error}" for m in self.measurements if m.error]
        table = Table(box=box.SIMPLE_HEAD, caption="\n".join(lines), caption_justify="left")
        for column in ("model", "file", "cycles", "ms", "SRAM", "DRAM", "flash", "ops on NPU"):
            table.add_column(column, justify="left" if column == "model" else "right")
        for m in self.measurements:
            table.add_row(as_cell(m.name), f"{m.file_bytes:,}", *_cells(m))
        return table

    def _content(self) -> dict:
        return {"settings": self.settings, "measurements": [asdict(m) for m in self.measurements]}


def _cells(m: NpuMeasurement) -> list[str]:
    if m.error:
        return ["failed", "", "", "", "", ""]
    if not m.npu_ops:  # then Vela has estimated nothing
        return ["–", "–", "–", "–", "–", f"0 of {m.ops}"]
    return [
        f"{m.cycles:,}",
        f"{m.milliseconds:.3f}",
        f"{m.sram_bytes:,}",
        f"{m.dram_bytes:,}",
        f"{m.flash_bytes:,}",
        f"{m.npu_ops} of {m.ops}",
    ]

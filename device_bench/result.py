"""What a benchmark found."""

import json
import os
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from converters.files import write_whole
from device_bench.statistics import differs, median_interval, ratio_interval

SCHEMA_VERSION = 1


@dataclass
class Measurement:
    """One model: every process's samples and what follows from them. Times in milliseconds.

    Args:
        name: The model's name in the benchmark.
        file_bytes: Size of the `.tflite`.
        processes: What each process's worker reported, in the order of the rounds.
        error: Why it could not be measured, or None.
    """

    name: str
    file_bytes: int
    processes: list[dict] = field(default_factory=list, repr=False)
    error: str | None = None

    @cached_property
    def process_medians_ms(self) -> list[float]:
        """Median of the steady runs of each process."""
        return [float(np.median(p["samples_us"])) / 1e3 for p in self.processes]

    @property
    def median_ms(self) -> float:
        """Median over the processes' medians."""
        return float(np.median(self.process_medians_ms))

    @cached_property
    def median_interval_ms(self) -> tuple[float, float]:
        """95 % interval of `median_ms`."""
        return median_interval(self.process_medians_ms)

    @property
    def p90_ms(self) -> float:
        """Median over the processes' 90th percentiles."""
        return self._over_processes(lambda p: np.percentile(p["samples_us"], 90)) / 1e3

    @property
    def first_ms(self) -> float:
        """First invocation, caches cold; median over processes."""
        return self._over_processes(lambda p: p["first_us"]) / 1e3

    @property
    def warmup_ms(self) -> float:
        """All warm-up runs together, which count for nothing else; median over processes."""
        return self._over_processes(lambda p: p["warmup_us"]) / 1e3

    @property
    def load_ms(self) -> float:
        """Reading the file and allocating its tensors; median over processes."""
        return self._over_processes(lambda p: p["load_us"] + p["allocate_us"]) / 1e3

    @property
    def peak_memory_mb(self) -> float:
        """Peak resident memory of the process, in MB (10⁶ bytes); median over processes."""
        return self._over_processes(lambda p: p["peak_memory_bytes"]) / 1e6

    @property
    def runs(self) -> int:
        """Timed runs over all processes."""
        return sum(len(p["samples_us"]) for p in self.processes)

    def summary(self) -> dict:
        """The figures without the samples."""
        if self.error:
            return {"name": self.name, "file_bytes": self.file_bytes, "error": self.error}
        return {
            "name": self.name,
            "file_bytes": self.file_bytes,
            "processes": len(self.processes),
            "runs": self.runs,
            "load_ms": self.load_ms,
            "first_ms": self.first_ms,
            "warmup_ms": self.warmup_ms,
            "median_ms": self.median_ms,
            "median_interval_ms": self.median_interval_ms,
            "p90_ms": self.p90_ms,
            "peak_memory_mb": self.peak_memory_mb,
        }

    def _over_processes(self, figure) -> float:
        return float(np.median([figure(p) for p in self.processes]))


@dataclass
class Result:
    """A benchmark of several models, measured side by side.

    Args:
        measurements: One per model, in the order given.
        settings: Device, threads, processes, seconds, what was fed, seed.
        host: The machine.
    """

    measurements: list[Measurement]
    settings: dict
    host: dict

    def __getitem__(self, name: str) -> Measurement:
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise KeyError(f"no model {name!r}; there are {[m.name for m in self.measurements]}")

    def ratio(self, name: str, reference: str) -> tuple[float, float, float]:
        """`(ratio, low, high)` of the median time of `name` over that of `reference`."""
        return ratio_interval(self[name].process_medians_ms, self[reference].process_medians_ms)

    def to_dict(self) -> dict:
        """Everything, raw samples included."""
        return {
            "schema_version": SCHEMA_VERSION,
            "settings": self.settings,
            "host": self.host,
            "measurements": [
                {**m.summary(), "raw": asdict(m)["processes"]} for m in self.measurements
            ],
        }

    def to_json(self, path: str | os.PathLike) -> Path:
        """Write everything, raw samples included, as JSON."""
        return write_whole(path, json.dumps(self.to_dict()))

    def table(self):
        """The figures as a `rich` table: times in ms, ratios of medians to the first model's."""
        from rich import box
        from rich.table import Table

        table = Table(
            box=box.SIMPLE_HEAD,
            collapse_padding=True,
            pad_edge=False,
            caption=self._caption(),
            caption_justify="left",
        )
        for column in ("model", "bytes", "load", "first", "median", "95 %", "p90", "ratio", "MB"):
            table.add_column(column, justify="left" if column == "model" else "right", no_wrap=True)
        for m in self.measurements:
            table.add_row(m.name, f"{m.file_bytes:,}", *self._cells(m))
        return table

    def __str__(self):
        from rich.console import Console

        console = Console(width=120)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get()

    def _cells(self, m: Measurement) -> list[str]:
        if m.error:
            return ["", "", "failed", "", "", "", ""]
        low, high = m.median_interval_ms
        return [
            f"{m.load_ms:.2f}",
            f"{m.first_ms:.3f}",
            f"{m.median_ms:.4f}",
            f"±{(high - low) / 2 / m.median_ms:.1%}" if len(m.processes) > 1 else "",
            f"{m.p90_ms:.4f}",
            self._ratio_cell(m),
            f"{m.peak_memory_mb:.1f}",
        ]

    def _ratio_cell(self, m: Measurement) -> str:
        first = self.measurements[0]
        if m is first or first.error:
            return ""
        ratio, low, high = self.ratio(m.name, first.name)
        return f"{ratio:.2f}" if len(m.processes) < 2 or differs(low, high) else "≈ 1"

    def _caption(self) -> str:
        s = self.settings
        return (
            f"times in ms, memory in 10⁶ bytes; {s['device']}: {self.host['processor']}, "
            f"{s['threads']} thread(s), {s['processes']} fresh processes each, interleaved; time "
            f"of invoke() alone, inputs {s['inputs']}; ratio to the first model. Host time does "
            "not rank int8 against float for phones."
            + "".join(f"\n{m.name} failed: {m.error}" for m in self.measurements if m.error)
        )

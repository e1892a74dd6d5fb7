"""What was measured on a phone."""

import os
from dataclasses import asdict, dataclass

import numpy as np

from converters.files import existing_file
from converters.one_line import as_cell
from device_bench.device_result import DeviceResult
from device_bench.phone.output import Run, parse_output, unfinished
from device_bench.statistics import Ratio, median_interval, ratio_between, ratio_of

_DEVICE = "EDGEKIT-DEVICE "


@dataclass(frozen=True)
class PhoneMeasurement:
    """One model on a phone.

    Attributes:
        name: The model's name.
        runs: One per process, in the order of the rounds.
        error: Why it could not be measured, or None.
    """

    name: str
    runs: tuple[Run, ...] = ()
    error: str | None = None

    @property
    def measured(self) -> bool:
        """Whether there is a time."""
        return bool(self.runs)

    @property
    def process_medians_ms(self) -> list[float]:
        """Of each process the median where the tool prints one, else the mean."""
        return [run.middle / 1e3 for run in self.runs]

    @property
    def median_ms(self) -> float:
        """Median over the processes."""
        return float(np.median(self.process_medians_ms))

    @property
    def median_interval_ms(self) -> tuple[float, float]:
        """95 % interval of `median_ms`."""
        return median_interval(self.process_medians_ms)

    @property
    def first_ms(self) -> float:
        """First inference; median over processes."""
        return float(np.median([run.first for run in self.runs])) / 1e3

    @property
    def load_ms(self) -> float:
        """Loading and preparing; median over processes."""
        return float(np.median([run.init for run in self.runs])) / 1e3

    @property
    def memory_bytes(self) -> int | None:
        """What the process grew by; None where the tool does not say."""
        known = [run.memory for run in self.runs if run.memory is not None]
        return int(np.median(known)) if known else None

    @property
    def delegated(self) -> tuple[int, int] | None:
        """`(nodes in a delegate, nodes)`; None where the tool does not say."""
        return next((run.delegated for run in self.runs if run.delegated), None)


@dataclass(frozen=True)
class PhoneResult(DeviceResult):
    """Several models on a phone.

    Attributes:
        measurements: One per model.
        settings: Device and how it was measured.
    """

    measurements: tuple[PhoneMeasurement, ...]
    settings: dict
    kind = "phone"

    def ratio(self, name: str, reference: str) -> Ratio:
        """The time of `name` over that of `reference`, paired by rounds where these are known."""
        rows = self[name], self[reference]
        one, other = ({run.round: run.middle for run in row.runs} for row in rows)
        both = [number for number in one if number is not None and number in other]
        if both:
            return ratio_of([one[n] for n in both], [other[n] for n in both])
        return ratio_between(*(row.process_medians_ms for row in rows))

    def table(self):
        """The figures as a `rich` table: times in ms."""
        from rich import box
        from rich.table import Table

        s = self.settings
        lines = [f"{s['device']}; times in ms, a process per run, by LiteRT's benchmark_model"]
        lines += [f"{m.name} failed: {m.error}" for m in self.measurements if m.error]
        table = Table(box=box.SIMPLE_HEAD, caption="\n".join(lines), caption_justify="left")
        columns = ("model", "load", "first", "median", "95 %", "ratio", "MB", "delegated")
        for column in columns:
            table.add_column(column, justify="left" if column == "model" else "right")
        for m in self.measurements:
            table.add_row(as_cell(m.name), *self._cells(m))
        return table

    def _content(self) -> dict:
        return {"settings": self.settings, "measurements": [_row(m) for m in self.measurements]}

    def _cells(self, m: PhoneMeasurement) -> list[str]:
        if not m.measured:
            return ["", "", "failed", "", "", "", ""]
        low, high = m.median_interval_ms
        first = self.measurements[0]
        ratio = ""
        if m is not first and first.measured:
            found = self.ratio(m.name, first.name)
            verdict = found.verdict()
            sure = verdict in ("slower", "faster")
            ratio = (
                "≈ 1" if verdict == "no difference" else f"{found.value:.2f}{'' if sure else '?'}"
            )
        return [
            f"{m.load_ms:.2f}",
            f"{m.first_ms:.3f}",
            f"{m.median_ms:.4f}",
            f"±{(high - low) / 2 / m.median_ms:.1%}" if len(m.runs) > 1 else "",
            ratio,
            "" if m.memory_bytes is None else f"{m.memory_bytes / 1e6:.1f}",
            "" if m.delegated is None else f"{m.delegated[0]} of {m.delegated[1]}",
        ]


def read_results(path: str | os.PathLike) -> PhoneResult:
    """What our script, or `benchmark_model` by itself, has left in a file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: There is no finished run in it.
    """
    text = existing_file(path).read_text(errors="replace")
    try:
        found, lost = parse_output(text), unfinished(text)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    by_name: dict[str, list[Run]] = {name: [] for name in lost}
    for run in found:
        by_name.setdefault(run.name, []).append(run)
    rows = tuple(
        PhoneMeasurement(name, tuple(runs), _lost(lost.count(name)))
        for name, runs in by_name.items()
    )
    return PhoneResult(rows, {"device": _device(text)})


def _lost(count: int) -> str | None:
    return f"{count} of its runs did not come to an end" if count else None


def _device(text: str) -> str:
    for line in text.splitlines():
        if line.startswith(_DEVICE):
            return line.removeprefix(_DEVICE).strip() or "a device"
    return "a device"


def _row(m: PhoneMeasurement) -> dict:
    found = {"name": m.name, "error": m.error, "raw": [asdict(run) for run in m.runs]}
    if not m.measured:
        return found
    return found | {
        "median_ms": m.median_ms,
        "median_interval_ms": list(m.median_interval_ms),
        "first_ms": m.first_ms,
        "load_ms": m.load_ms,
        "memory_bytes": m.memory_bytes,
        "delegated": m.delegated,
    }

"""What a benchmark on the host found."""

import json
import os
from dataclasses import dataclass, field

from converters.files import existing_file
from device_bench.device_result import DeviceResult
from device_bench.finding import SCHEMA_VERSION
from device_bench.flags import flags
from device_bench.measurement import Measurement
from device_bench.setting import Setting
from device_bench.statistics import Ratio, ratio_of
from device_bench.table import timing_table


@dataclass
class Result(DeviceResult):
    """A benchmark of several models, measured side by side.

    Args:
        measurements: One per model and setting, in the order given.
        settings: Device, mode, processes, seconds, what was fed, seed, and whether it was
            interrupted.
        host: The machine, before and after.
        twin: The first measurement once more, which shows how far apart equal things come out;
            None where it was not made.
    """

    measurements: list[Measurement]
    settings: dict
    host: dict
    twin: Measurement | None = field(default=None, repr=False)
    kind = "timing"

    @property
    def noise_floor(self) -> float | None:
        """How far from 1 the ratio of the first measurement to itself may lie; None if unknown."""
        first = self.measurements[0]
        if self.twin is None or not (self.twin.measured and first.measured):
            return None
        return _paired(self.twin, first).spread

    def ratio(self, name: str, reference: str) -> Ratio:
        """The time of `name` over that of `reference`, with its interval.

        Raises:
            ValueError: One of them was not measured; the message says why.
        """
        for row in (self[name], self[reference]):
            if not row.measured:
                raise ValueError(f"{row.name!r} was not measured: {row.error}")
        return _paired(self[name], self[reference])

    def verdict(self, name: str, reference: str) -> str:
        """`"slower"`, `"faster"`, `"no difference"`, `"unclear"` or why there is none."""
        if not (self[name].measured and self[reference].measured):
            return "not measured"
        return self.ratio(name, reference).verdict(self.noise_floor or 0.0)

    def flags(self, name: str) -> list[str]:
        """What calls for caution in a measurement, in words."""
        measurement = self[name]
        return flags(measurement) if measurement.measured else []

    @classmethod
    def from_json(cls, path: str | os.PathLike) -> "Result":
        """Read what `to_json` wrote.

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: It is no benchmark of the host, or of another version.
        """
        try:
            found = json.loads(existing_file(path).read_text())
            version, kind = found["schema_version"], found["kind"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is no benchmark, as `edgekit bench -o` writes") from None
        if (version, kind) != (SCHEMA_VERSION, cls.kind):
            raise ValueError(
                f"{path} is of kind {kind!r} in version {version}; "
                f"kind 'timing' in version {SCHEMA_VERSION} is read"
            )
        try:
            twin = found["twin"] and _measurement(found["twin"])
            rows = [_measurement(row) for row in found["measurements"]]
            return cls(rows, found["settings"], found["host"], twin)
        except (KeyError, TypeError) as error:
            raise ValueError(f"{path} is a benchmark with something missing: {error}") from None

    def table(self):
        """The figures as a `rich` table: times in ms, ratios of medians to the first model's."""
        return timing_table(self)

    def _content(self) -> dict:
        return {
            "settings": self.settings,
            "host": self.host,
            "noise_floor": self.noise_floor,
            "measurements": [self._row(m) for m in self.measurements],
            "twin": None if self.twin is None else {**self.twin.summary(), "raw": _raw(self.twin)},
        }

    def _row(self, measurement: Measurement) -> dict:
        row = measurement.summary() | {"flags": self.flags(measurement.name)}
        first = self.measurements[0]
        if measurement is not first and measurement.measured and first.measured:
            ratio = _paired(measurement, first)
            verdict = self.verdict(measurement.name, first.name)
            row["ratio_to_first"] = {**vars(ratio), "verdict": verdict}
        return row | {"raw": _raw(measurement)}


def _paired(one: Measurement, other: Measurement) -> Ratio:
    """Of the rounds that both were measured in."""
    count = min(len(one.processes), len(other.processes))
    return ratio_of(one.process_medians_ms[:count], other.process_medians_ms[:count])


def _raw(measurement: Measurement) -> list[dict]:
    return measurement.processes


def _measurement(row: dict) -> Measurement:
    given = ("name", "model", "file_bytes", "weight_bytes", "sha256", "samples", "headline")
    return Measurement(
        **{name: row[name] for name in given},
        setting=Setting(**row["setting"]),
        processes=row["raw"],
        check=row["check"],
        accuracy=row["accuracy"],
        error=row["error"],
    )

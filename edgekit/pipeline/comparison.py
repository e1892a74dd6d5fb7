"""Several files of one model, side by side: what each costs and what it keeps."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters import Flatbuffer, Inspection, inspect
from device_bench import Result
from device_bench.figure_table import figure_table

COLUMNS = ("file", "acc %", "95 %", "agree", "bytes", "gzip", "zero %")


@dataclass(frozen=True)
class Row:
    """One file, measured in the LiteRT interpreter on held-out data.

    Args:
        name: The file's name in the comparison.
        flatbuffer: The file.
        inspection: What it computes.
        predictions: Class per held-out sample.
        accuracy: Share of right predictions, 0 to 1.
        agreement: Share of predictions that equal the reference's, 0 to 1.
    """

    name: str
    flatbuffer: Flatbuffer
    inspection: Inspection
    predictions: np.ndarray
    accuracy: float
    agreement: float

    @property
    def accuracy_interval(self) -> tuple[float, float]:
        """95 % interval of the accuracy, from the number of samples alone."""
        return wilson_interval(self.accuracy, len(self.predictions))


class Comparison:
    """Files of one classifier, compared on the same held-out data.

    Args:
        files: `{name: Flatbuffer}`; the first is the reference.
        x: Held-out inputs, `(samples, ...)`.
        y: Their classes, `(samples,)`.
    """

    def __init__(self, files: Mapping[str, Flatbuffer], x: np.ndarray, y: np.ndarray):
        self.samples = len(x)
        predictions = {name: top1(f.predict(x)) for name, f in files.items()}
        reference = next(iter(predictions.values()))
        self.rows = [
            Row(
                name,
                flatbuffer,
                inspect(flatbuffer),
                predictions[name],
                accuracy=agreement(predictions[name], y),
                agreement=agreement(predictions[name], reference),
            )
            for name, flatbuffer in files.items()
        ]
        self.benchmark: Result | None = None

    def __getitem__(self, name: str) -> Row:
        return next(row for row in self.rows if row.name == name)

    def to_dict(self) -> list[dict]:
        """One JSON-ready dict per file."""
        return [
            {
                "name": row.name,
                "accuracy": row.accuracy,
                "accuracy_interval": row.accuracy_interval,
                "agreement_with_first": row.agreement,
                **row.inspection.to_dict(),
            }
            for row in self.rows
        ]

    def table(self):
        """A `rich` table, a line per file; times are in that of `benchmark`."""
        table = figure_table(
            COLUMNS,
            f"accuracy in LiteRT on {self.samples:,} held-out samples with its 95 % interval; "
            "agree: share of answers that are those of the first file",
        )
        for row in self.rows:
            table.add_row(*self.cells(row))
        return table

    def cells(self, row: Row) -> list[str]:
        """The row's figures under `COLUMNS`."""
        low, high = row.accuracy_interval
        return [
            row.name,
            f"{100 * row.accuracy:.2f}",
            f"{100 * low:.1f}–{100 * high:.1f}",
            f"{100 * row.agreement:.1f}",
            f"{row.flatbuffer.size:,}",
            f"{row.flatbuffer.gzip_size:,}",
            f"{100 * row.inspection.sparsity:.1f}",
        ]


def wilson_interval(share: float, samples: int) -> tuple[float, float]:
    """95 % interval of a share seen in `samples` trials.

    Source: Wilson 1927, J. Am. Stat. Assoc. 22 (158).
    """
    z = 1.96
    center = (share + z * z / (2 * samples)) / (1 + z * z / samples)
    half = (
        z
        / (1 + z * z / samples)
        * (share * (1 - share) / samples + z * z / (4 * samples * samples)) ** 0.5
    )
    # The share itself is inside, whatever rounding says at 0 and 1.
    return max(0.0, min(share, center - half)), min(1.0, max(share, center + half))


def top1(probabilities: np.ndarray) -> np.ndarray:
    """Class of each sample; of equals the first."""
    return np.argmax(probabilities, axis=-1)


def agreement(a: np.ndarray, b: np.ndarray) -> float:
    """Share of equal entries, 0 to 1."""
    return float(np.mean(a == b))

"""What a converted file computes, held against the model it came from."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

# Samples that each file is run on once made.
SAMPLES = 8


@dataclass(frozen=True)
class Check:
    """How far a file's outputs are from the model's, on a few samples.

    Attributes:
        samples: How many.
        decibel: `{output: signal-to-noise ratio in dB}`; infinite where nothing differs.
        agreement: `{output: share of equal top-1 answers}`, of outputs with classes.
        notes: What was done on the way that the user did not ask for, in words.
    """

    samples: int
    decibel: dict[str, float]
    agreement: dict[str, float]
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> tuple[str, float]:
        """The output with the lowest ratio, and that."""
        return min(self.decibel.items(), key=lambda item: item[1])


def compare(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> Check:
    """The check of outputs by name."""
    decibel, agreement = {}, {}
    for name, values in expected.items():
        values, other = values.astype("float64"), found[name].astype("float64")
        signal, noise = np.mean(values**2), np.mean((other - values) ** 2)
        decibel[name] = float(10 * np.log10(signal / noise)) if signal * noise else np.inf
        if values.ndim == 2 and values.shape[1] > 1:
            agreement[name] = float(np.mean(values.argmax(1) == other.argmax(1)))
    return Check(len(next(iter(expected.values()))), decibel, agreement)


def probe(shapes: Mapping[str, tuple], dtypes: Mapping[str, str], count: int) -> dict:
    """Inputs for a check where no samples are given: seeded, of ordinary size."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in shapes.items():
        full = (count, *shape[1:])
        floats = np.issubdtype(np.dtype(dtypes[name]), np.floating)
        values = rng.normal(size=full) if floats else rng.integers(0, 2, full)
        found[name] = values.astype(dtypes[name])
    return found


def write_checks(path: Path, checks: Mapping[str, Check]) -> None:
    """Keep the checks of some formats as JSON."""
    path.write_text(json.dumps({name: vars(check) for name, check in checks.items()}))


def read_checks(path: Path) -> dict[str, Check]:
    """What `write_checks` kept."""
    return {name: Check(**values) for name, values in json.loads(path.read_text()).items()}

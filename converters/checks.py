"""What a converted file computes, held against the model it came from."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from converters.signal_to_noise import signal_to_noise

# Samples that each file is run on once made.
SAMPLES = 8
# Below it, the noise of a channel is more than half as large as what it says.
LEAST_CHANNEL_DECIBEL = 6.0
# What is so much smaller than the largest value of an output is noise in float32 too.
_SHARE_OF_FLOAT = 1e-6
# A whole range of 8 bits in the smallest steps that LiteRT counts in.
_TINY = 255 * 2.0**-25
# A class that no sample is of has a probability below this, which nobody misses.
_LEAST_PROBABILITY = 0.02


@dataclass(frozen=True)
class Check:
    """How far a file's outputs are from the model's, on a few samples.

    Attributes:
        samples: How many.
        decibel: `{output: signal-to-noise ratio in dB}`; `inf` where nothing differs, `-inf`
            where the file answers NaN or infinity and the model does not.
        agreement: `{output: share of equal top-1 answers}`, of outputs with classes.
        broken: `{output: number of samples}` on which the file answers NaN or infinity and the
            model does not. Empty for a sound file.
        uncompared: `{output: number of samples}` on which the model itself answers NaN or
            infinity: what it says there was left out.
        lost: `{output: channels}` of the last axis that are mostly noise, which may be while
            the output as a whole is close to the model's.
        lost_along: `{output: (axis, places)}`, the same along another axis, where no channel of the
            last axis is lost: `(1, [4, 5])` are the fifth and sixth row of each sample.
        vanished: `{output: its largest value}`, of outputs that are zero throughout in the file
            as they are less than a step of the format can be.
        notes: What was done on the way that the user did not ask for, in words.
        signatures: `{key: check}` of the file's other signatures that could be run; the check
            itself is that of the default one.
    """

    samples: int
    decibel: dict[str, float]
    agreement: dict[str, float]
    broken: dict[str, int] = field(default_factory=dict)
    uncompared: dict[str, int] = field(default_factory=dict)
    lost: dict[str, list[int]] = field(default_factory=dict)
    lost_along: dict[str, tuple[int, list[int]]] = field(default_factory=dict)
    vanished: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    signatures: dict[str, "Check"] = field(default_factory=dict)

    @property
    def worst(self) -> tuple[str, float]:
        """The output with the lowest ratio, and that."""
        return min(self.decibel.items(), key=lambda item: item[1])


def compare(expected: Mapping[str, np.ndarray], found: Mapping[str, np.ndarray]) -> Check:
    """The check of outputs by name."""
    decibel, agreement, broken, uncompared, lost, along, vanished = ({} for _ in range(7))
    for name, values in expected.items():
        other = found[name]
        decibel[name] = signal_to_noise(values, other)
        if values.ndim == 2 and values.shape[1] > 1:
            agreement[name] = float(np.mean(values.argmax(1) == other.argmax(1)))
        finite = np.isfinite(values)
        if count := _samples(~np.isfinite(other) & finite):
            broken[name] = count
        if count := _samples(~finite):
            uncompared[name] = count
        if channels := lost_channels(values, other):
            lost[name] = channels
        elif places := lost_places(values, other):
            along[name] = places
        largest = float(np.abs(values[finite]).max(initial=0.0))
        if 0.0 < largest < _TINY and not other.any():
            vanished[name] = largest
    samples = len(next(iter(expected.values())))
    return Check(samples, decibel, agreement, broken, uncompared, lost, along, vanished)


def lost_channels(expected: np.ndarray, found: np.ndarray) -> list[int]:
    """The channels of the last axis that are mostly noise, as scores beside boxes in pixels.

    Args:
        expected: The right values, `(samples, ..., channels)`.
        found: The values of the file.

    Returns:
        Their indices; none where there is one channel, nor channels that are zero as a rule.
    """
    if expected.ndim < 2 or expected.shape[-1] < 2 or not np.isfinite(expected).all():
        return []
    channels = expected.shape[-1]
    right = expected.reshape(-1, channels).astype("float64")
    values = found.reshape(-1, channels).astype("float64")
    sizes = np.abs(right).max(axis=0, initial=0.0)
    least = _SHARE_OF_FLOAT * sizes.max(initial=0.0)
    if right.min(initial=0.0) >= 0.0 and right.max(initial=0.0) <= 1.0:
        least = max(least, _LEAST_PROBABILITY)
    speaks = (sizes > least) & (np.mean(right != 0, axis=0) > 0.5)
    return [
        int(i)
        for i in np.flatnonzero(speaks)
        if not signal_to_noise(right[:, i], values[:, i]) >= LEAST_CHANNEL_DECIBEL
    ]


def lost_places(expected: np.ndarray, found: np.ndarray) -> tuple[int, list[int]] | None:
    """What `lost_channels` finds along the first other axis where it finds something.

    Scores and boxes may be joined along any axis: object detectors give `(samples, 84, 8400)`.

    Args:
        expected: The right values, `(samples, ...)`.
        found: The values of the file.

    Returns:
        The axis and the places along it; None where nothing is lost so.
    """
    for axis in range(1, expected.ndim - 1):
        moved = (np.moveaxis(values, axis, -1) for values in (expected, found))
        if places := lost_channels(*moved):
            return axis, places
    return None


def _samples(where: np.ndarray) -> int:
    """In how many samples anything is true."""
    return int(np.count_nonzero(where.reshape(len(where), -1).any(axis=1))) if where.size else 0


def probe(shapes: Mapping[str, tuple], dtypes: Mapping[str, str], count: int) -> dict:
    """Inputs for a check where no samples are given: seeded, of ordinary size."""
    rng = np.random.default_rng(0)
    found = {}
    for name, shape in shapes.items():
        full = (count, *shape[1:]) if shape else ()
        floats = np.issubdtype(np.dtype(dtypes[name]), np.floating)
        values = rng.normal(size=full) if floats else rng.integers(0, 2, full)
        found[name] = values.astype(dtypes[name])
    return found


def write_checks(path: Path, checks: Mapping[str, Check]) -> None:
    """Keep the checks of some formats as JSON."""
    path.write_text(json.dumps({name: asdict(check) for name, check in checks.items()}))


def read_checks(path: Path) -> dict[str, Check]:
    """What `write_checks` kept."""
    return {name: _read_check(values) for name, values in json.loads(path.read_text()).items()}


def _read_check(values: dict) -> Check:
    along = {name: (axis, places) for name, (axis, places) in values["lost_along"].items()}
    others = {key: _read_check(check) for key, check in values["signatures"].items()}
    notes = tuple(values["notes"])
    return Check(**{**values, "lost_along": along, "signatures": others, "notes": notes})

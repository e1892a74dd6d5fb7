"""What is fed to a model while it is measured."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from converters.runner import quantize

_PREFIX = "array "


def batches(
    inputs: Mapping[str, dict],
    samples: Mapping[str, np.ndarray] | None,
    seed: int,
    random: int = 1,
) -> list[dict[str, np.ndarray]]:
    """Stored values for one invocation after another.

    Args:
        inputs: Details of the inputs, by name.
        samples: Real values by name; None for random ones.
        seed: Of random ones.
        random: How many batches of random ones. Defaults to `1`.

    Returns:
        At least one batch. The last is filled up with samples from the first on.
    """
    if samples is None:
        rng = np.random.default_rng(seed)
        return [
            {name: _random(rng, detail) for name, detail in inputs.items()} for _ in range(random)
        ]
    size = int(next(iter(inputs.values()))["shape"][0])
    count = len(next(iter(samples.values())))
    return [
        {
            name: quantize(
                np.take(samples[name], range(start, start + size), 0, mode="wrap"), detail
            )
            for name, detail in inputs.items()
        }
        for start in range(0, count, size)
    ]


def load_arrays(path: str | None) -> dict[str, np.ndarray] | None:
    """What `save_arrays` wrote; None for no path."""
    if path is None:
        return None
    with np.load(path) as stored:
        return {name.removeprefix(_PREFIX): stored[name] for name in stored.files}


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Arrays by names of any kind: NumPy keeps some for itself."""
    np.savez(path, **{f"{_PREFIX}{name}": array for name, array in arrays.items()})


def _random(rng, detail) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    # An integer that stands for itself may be an index: zero is always a valid one.
    quantized = bool(detail["quantization"][0])
    limits = np.iinfo(dtype) if quantized else None
    low, high = (limits.min, limits.max) if limits else (0, 0)
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)

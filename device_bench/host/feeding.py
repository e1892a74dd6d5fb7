"""What is fed to a model while it is measured."""

from collections.abc import Mapping

import numpy as np

from converters.runner import quantize


def batches(
    inputs: Mapping[str, dict],
    samples: Mapping[str, np.ndarray] | None,
    step: int | None,
    seed: int,
    random: int = 1,
) -> list[dict[str, np.ndarray]]:
    """Stored values for one invocation after another.

    Args:
        inputs: Details of the inputs, by name.
        samples: Real values by name; None for random ones.
        step: Samples in one invocation; None where they are fed as they are.
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
    stored = {name: quantize(samples[name], detail) for name, detail in inputs.items()}
    ranked = [array for array in stored.values() if array.ndim]
    if step is None or not ranked:
        return [stored]
    return [
        {
            name: np.take(array, range(start, start + step), 0, mode="wrap")
            if array.ndim
            else array
            for name, array in stored.items()
        }
        for start in range(0, len(ranked[0]), step)
    ]


def _random(rng, detail) -> np.ndarray:
    shape, dtype = tuple(detail["shape"]), np.dtype(detail["dtype"])
    if dtype.kind == "f":
        return rng.random(shape).astype(dtype)
    if dtype.kind == "b":
        return rng.random(shape) < 0.5
    if dtype.kind == "S":
        return np.full(shape, b"", dtype=object)
    # An integer that stands for itself may be an index: zero is always a valid one.
    quantized = bool(detail["quantization"][0])
    limits = np.iinfo(dtype) if quantized else None
    low, high = (limits.min, limits.max) if limits else (0, 0)
    return rng.integers(low, high, shape, dtype=dtype, endpoint=True)

"""What is fed to a model while it is measured; only in a child process."""

from collections.abc import Mapping

import numpy as np

from converters.runner import quantize


def batches(
    inputs: Mapping[str, dict], samples: str | None, seed: int
) -> list[dict[str, np.ndarray]]:
    """Stored values for one invocation after another.

    Args:
        inputs: Details of the inputs, by name.
        samples: Path of an `.npz` with real values by name; None for random ones.
        seed: Of random ones.

    Returns:
        At least one batch. Samples that do not fill a batch are repeated.
    """
    if samples is None:
        rng = np.random.default_rng(seed)
        return [{name: _random(rng, detail) for name, detail in inputs.items()}]
    with np.load(samples) as loaded:
        real = {name: loaded[name] for name in loaded.files}
    size = int(next(iter(inputs.values()))["shape"][0])
    count = len(next(iter(real.values())))
    starts = range(0, max(1, count // size) * size, size)
    return [
        {
            name: quantize(np.take(real[name], range(start, start + size), 0, mode="wrap"), detail)
            for name, detail in inputs.items()
        }
        for start in starts
    ]


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

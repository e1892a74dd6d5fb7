"""Arrays by name in a file, strings too, without anything that could run when it is read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

# NumPy keeps some names for itself.
_PLAIN, _TEXT, _LENGTHS, _SHAPE = "array ", "text ", "lengths ", "shape "


def save_arrays(path: str | Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays by names of any kind to a `.npz` file; those of objects hold `bytes`."""
    parts: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if array.dtype != object:
            parts[f"{_PLAIN}{name}"] = array
            continue
        texts = [bytes(value) for value in array.ravel()]
        parts[f"{_TEXT}{name}"] = np.frombuffer(b"".join(texts), np.uint8)
        parts[f"{_LENGTHS}{name}"] = np.array([len(text) for text in texts], np.int64)
        parts[f"{_SHAPE}{name}"] = np.array(array.shape, np.int64)
    np.savez(path, **parts)


def load_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """What `save_arrays` wrote."""
    found: dict[str, np.ndarray] = {}
    with np.load(path, allow_pickle=False) as stored:
        for key in stored.files:
            if key.startswith(_PLAIN):
                found[key.removeprefix(_PLAIN)] = stored[key]
            elif key.startswith(_TEXT):
                name = key.removeprefix(_TEXT)
                ends = np.cumsum(stored[f"{_LENGTHS}{name}"])
                data = stored[key].tobytes()
                starts = [0, *ends[:-1].tolist()]
                array = np.empty(len(ends), dtype=object)
                array[:] = [data[a:b] for a, b in zip(starts, ends.tolist(), strict=True)]
                found[name] = array.reshape(stored[f"{_SHAPE}{name}"])
    return found

"""Which Dense kernels have a scale per channel after training: where that is worth its bytes."""

import numpy as np

from converters.integer.file import FlatFile

# Short channels pay dearly for scales of their own: 8 bytes each, with that of the bias.
_BYTES = 8
_SHARE_OF_WEIGHTS = 0.02


def channelwise_dense(file: FlatFile) -> set[int]:
    """Ids of the FULLY_CONNECTED ops that get a scale per channel, the others have one in all.

    Scales go where they take away most rounding noise per byte, until they are 2 % of the
    weights' bytes.
    """
    candidates, weights = [], 0
    for op in file.graph.operators:
        constants = [c for t in map(int, op.inputs) if (c := _kernel(file, t)) is not None]
        weights += sum(c.size for c in constants)
        if file.op_name(op) == "FULLY_CONNECTED" and constants:
            largest = np.abs(constants[0]).max(axis=1, initial=0.0).astype("float64")
            noise = np.mean(largest.max(initial=0.0) ** 2 - largest**2)
            size = np.mean(constants[0].astype("float64") ** 2)
            candidates.append((noise / max(size, 1e-30) / len(largest), len(largest), op))
    left, chosen = _SHARE_OF_WEIGHTS * weights, set()
    for _, channels, op in sorted(candidates, key=lambda c: -c[0]):
        if channels * _BYTES <= left:
            left -= channels * _BYTES
            chosen.add(id(op))
    return chosen


def _kernel(file: FlatFile, tensor: int) -> np.ndarray | None:
    values = file.constant(tensor) if tensor >= 0 else None
    return values if values is not None and values.ndim > 1 else None

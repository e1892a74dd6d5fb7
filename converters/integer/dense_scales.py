"""Which Dense kernels have a scale per channel after training: where that is worth its bytes."""

import numpy as np

from converters.integer.file import FlatFile

# Short channels pay dearly for scales of their own: 8 bytes each, with that of the bias.
_BYTES = 8
_SHARE_OF_WEIGHTS = 0.02


def channelwise_dense(file: FlatFile) -> set[int]:
    """Ids of the FULLY_CONNECTED ops that get a scale per channel, the others have one in all.

    Scales go where they take away most rounding noise per byte, until they are 2 % of the
    weights' bytes. Ops that read one kernel, as the steps of an unrolled layer do, have its scales
    in common, so that it is stored once.
    """
    readers: dict[int, list] = {}  # kernel of a FULLY_CONNECTED -> the ops that read it
    kernels: dict[int, np.ndarray] = {}
    for op in file.graph.operators:
        own = {t: c for t in map(int, op.inputs) if (c := _kernel(file, t)) is not None}
        kernels |= own
        if file.op_name(op) == "FULLY_CONNECTED" and own:
            readers.setdefault(next(iter(own)), []).append(op)
    candidates = []
    for tensor in readers:
        largest = np.abs(kernels[tensor]).max(axis=1, initial=0.0).astype("float64")
        noise = np.mean(largest.max(initial=0.0) ** 2 - largest**2)
        size = np.mean(kernels[tensor].astype("float64") ** 2)
        candidates.append((noise / max(size, 1e-30) / len(largest), len(largest), tensor))
    left = _SHARE_OF_WEIGHTS * sum(kernel.size for kernel in kernels.values())
    chosen: set[int] = set()
    for _, channels, tensor in sorted(candidates, key=lambda c: -c[0]):
        if channels * _BYTES <= left:
            left -= channels * _BYTES
            chosen.update(map(id, readers[tensor]))
    return chosen


def _kernel(file: FlatFile, tensor: int) -> np.ndarray | None:
    values = file.constant(tensor) if tensor >= 0 else None
    return values if values is not None and values.ndim > 1 else None

"""Which Dense kernels have a scale per channel after training: where that is worth its bytes."""

from collections.abc import Sequence

import numpy as np

from converters.integer.file import FlatFile

# Short channels pay dearly for scales of their own: 8 bytes each, with that of the bias.
_BYTES = 8
_SHARE_OF_WEIGHTS = 0.02

_Kernel = tuple[int, tuple[int, ...]]  # its buffer, which several tensors may read, and shape


def channelwise_dense(subgraphs: Sequence[FlatFile]) -> set[int]:
    """Ids of the FULLY_CONNECTED ops that get a scale per channel, the others have one in all.

    Scales go where they take away most rounding noise per byte, until they are 2 % of the
    weights' bytes. Ops that read one kernel, as the steps of an unrolled layer or several
    signatures do, have its scales in common, so that it is stored once.

    Args:
        subgraphs: Those of one file that are quantized.
    """
    readers: dict[_Kernel, list] = {}  # kernel of a FULLY_CONNECTED -> the ops that read it
    kernels: dict[_Kernel, np.ndarray] = {}
    for file in subgraphs:
        for op in file.graph.operators:
            own = {k: c for t in map(int, op.inputs) for k, c in _kernel(file, t).items()}
            kernels.update(own)
            if file.op_name(op) == "FULLY_CONNECTED" and own:
                readers.setdefault(next(iter(own)), []).append(op)
    candidates = []
    for kernel in readers:
        values = kernels[kernel]
        largest = np.abs(values).max(axis=1, initial=0.0).astype("float64")
        noise = np.mean(largest.max(initial=0.0) ** 2 - largest**2)
        size = np.mean(values.astype("float64") ** 2)
        candidates.append((noise / max(size, 1e-30) / len(largest), len(largest), kernel))
    left = _SHARE_OF_WEIGHTS * sum(values.size for values in kernels.values())
    chosen: set[int] = set()
    for _, channels, kernel in sorted(candidates, key=lambda c: -c[0]):
        if channels * _BYTES <= left:
            left -= channels * _BYTES
            chosen.update(map(id, readers[kernel]))
    return chosen


def _kernel(file: FlatFile, tensor: int) -> dict[_Kernel, np.ndarray]:
    """The constant of rank 2 or more that the tensor is, if it is one."""
    values = file.constant(tensor) if tensor >= 0 else None
    if values is None or values.ndim < 2:
        return {}
    return {(int(file.graph.tensors[tensor].buffer), values.shape): values}

"""The state of a pruning run in a file."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.core.files import write_beside
from edgekit.pruning.pruned_kernel import PrunedKernel

State = dict[str, np.ndarray]


def write_state(path: str | Path, kind: str, state: State) -> Path:
    """Write a `.npz` file, whole or not at all; the suffix is added where it is missing.

    Args:
        path: Where to.
        kind: Whose state it is.
        state: Its arrays.

    Raises:
        FileNotFoundError: The folder does not exist.
    """
    path = Path(path)
    path = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
    arrays = {"kind": np.array(kind), **state}
    return write_beside(path, lambda partial: np.savez_compressed(partial, **arrays))


def read_state(path: str | Path, kind: str) -> State:
    """What `write_state` wrote.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: The file holds something else.
    """
    try:
        with np.load(path, allow_pickle=False) as stored:
            state = dict(stored)
    except FileNotFoundError:
        raise
    except Exception:  # zipfile, zlib and NumPy each have their own
        raise ValueError(
            f"{path} holds no state of a callback: it is damaged, or no .npz file that "
            "save_state wrote"
        ) from None
    found = str(state.pop("kind", "something else"))
    if found != kind:
        raise ValueError(f"{path} holds the state of {found}, not of {kind}")
    return state


def pack(name: str, kernels: Sequence[PrunedKernel], arrays: Sequence[np.ndarray]) -> State:
    """An array per kernel, under names that say whose it is."""
    return {
        f"{name}:{kernel.number}:{kernel.variable.path}": array
        for kernel, array in zip(kernels, arrays, strict=True)
    }


def unpack(name: str, kernels: Sequence[PrunedKernel], state: State) -> list[np.ndarray]:
    """The arrays that `pack` put in, in the order of the kernels.

    Raises:
        ValueError: They belong to other kernels.
    """
    stored = {key.split(":")[1]: (key, a) for key, a in state.items() if key.startswith(f"{name}:")}
    if len(stored) != len(kernels):
        raise ValueError(
            f"the saved state is of another model, selection or criterion: it has {len(stored)} "
            f"arrays `{name}` for {len(kernels)} kernels"
        )
    found = []
    for kernel in kernels:
        key, array = stored.get(str(kernel.number), ("nothing", np.zeros(0)))
        if not _fits(array, kernel):
            raise ValueError(
                f"the saved state is of another model: {key} has shape {array.shape}, "
                f"{kernel.variable.path} has {tuple(kernel.variable.shape)}"
            )
        found.append(array)
    return found


def _fits(array: np.ndarray, kernel: PrunedKernel) -> bool:
    shape = tuple(kernel.variable.shape)
    return array.ndim == len(shape) and all(
        side in (1, whole) for side, whole in zip(array.shape, shape, strict=True)
    )

"""The state of a callback in a file, so that a run can go on in another process."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.core.files import write_beside
from edgekit.pruning.pruned_kernel import PrunedKernel

State = dict[str, np.ndarray]


class Resumable:
    """A callback whose masks and position can be saved, and taken up again by another.

    A class gives `_state()`, and reads `self._resumed` when a fit begins.
    """

    _resumed: State | None = None

    def save_state(self, path: str | Path) -> Path:
        """Write masks and position to a `.npz` file, whole or not at all.

        Example:
            >>> model.save("half.keras"); pruning.save_state("half.npz")

        Raises:
            ValueError: No fit with this callback has begun.
            FileNotFoundError: The folder does not exist.
        """
        path = Path(path)
        path = path if path.suffix == ".npz" else path.with_name(f"{path.name}.npz")
        state = {"kind": np.array(type(self).__name__), **self._state()}
        return write_beside(path, lambda partial: np.savez_compressed(partial, **state))

    def load_state(self, path: str | Path) -> None:
        """Let the next fit go on from a saved state, wherever its own epochs begin.

        Example:
            >>> model = keras.models.load_model("half.keras")
            >>> pruning = ek.GradualPruning(0.8)
            >>> pruning.load_state("half.npz")
            >>> model.fit(x, y, initial_epoch=5, epochs=10, callbacks=[pruning])

        Raises:
            FileNotFoundError: There is no such file.
            ValueError: The file holds something else.
        """
        try:
            with np.load(path, allow_pickle=False) as stored:
                state = dict(stored)
        except FileNotFoundError:
            raise
        except Exception as error:  # zipfile, zlib and NumPy each have their own
            raise ValueError(f"{path} holds no state of a callback: {error}") from None
        kind = str(state.pop("kind", "something else"))
        if kind != type(self).__name__:
            raise ValueError(f"{path} holds the state of {kind}, not of {type(self).__name__}")
        self._resumed = state

    def _state(self) -> State:
        raise NotImplementedError(f"{type(self).__name__} has no state to save")


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
    found = []
    for kernel in kernels:
        key, array = stored.get(str(kernel.number), ("nothing", np.zeros(0)))
        if len(stored) != len(kernels) or not _fits(array, kernel):
            raise ValueError(
                f"the saved state is of another model or selection: it has {len(stored)} kernels "
                f"where there are {len(kernels)}, and {key} of shape {array.shape} for "
                f"{kernel.variable.path} of shape {tuple(kernel.variable.shape)}"
            )
        found.append(array)
    return found


def _fits(array: np.ndarray, kernel: PrunedKernel) -> bool:
    shape = tuple(kernel.variable.shape)
    return array.ndim == len(shape) and all(
        side in (1, whole) for side, whole in zip(array.shape, shape, strict=True)
    )

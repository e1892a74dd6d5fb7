"""What the callbacks that prune share: masks to read, and a state to save."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgekit.core.held_masks import sparsity_of
from edgekit.core.holding_callback import HoldingCallback
from edgekit.pruning.bound_pruner import BoundPruner
from edgekit.pruning.pruner import Pruner
from edgekit.pruning.state import State, read_state, write_state


class PruningCallback(HoldingCallback):
    """A callback with masks over kernels.

    A class sets `self._bound` when a fit begins and takes up `self._resumed` if there is one; it
    says in `_state` what to save.

    Args:
        pruner: What to prune.
    """

    def __init__(self, pruner: Pruner):
        super().__init__()
        self._pruner = pruner
        self._bound: BoundPruner | None = None
        self._resumed: State | None = None

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """`{kernel path: mask}` of this or the last fit, True where a weight stays."""
        bound = self._begun()
        return {k.variable.path: m for k, m in zip(bound.kernels, bound.held, strict=True)}

    def save_state(self, path: str | Path) -> Path:
        """Write masks and position to a `.npz` file, whole or not at all.

        Example:
            >>> model.save("half.keras"); pruning.save_state("half.npz")

        Raises:
            ValueError: No fit with this callback has begun.
            FileNotFoundError: The folder does not exist.
        """
        self._begun()
        return write_state(path, type(self).__name__, self._state())

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
        self._resumed = read_state(path, type(self).__name__)

    def on_epoch_end(self, epoch, logs=None):
        super().on_epoch_end(epoch, logs)
        if logs is not None:
            logs["sparsity"] = sparsity_of(self._begun().variables)

    def _holdings(self) -> list[BoundPruner]:
        return [self._begun()]

    def _hold(self, masks: Sequence[np.ndarray] | None) -> None:
        self._fit_begins()
        self._bound.hold(masks)
        self._has_taken_hold()

    def _state(self) -> State:
        raise NotImplementedError(f"{type(self).__name__} must say what to save")

    def _begun(self) -> BoundPruner:
        if self._bound is None:
            raise ValueError(f"{type(self).__name__}: no fit with this callback has begun yet")
        return self._bound

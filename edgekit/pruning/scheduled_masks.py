"""Masks that change at certain steps of a fit, which may go on from an earlier one."""

import keras
import numpy as np

from edgekit.pruning.held_masks import HeldMasks, sparsity_of
from edgekit.pruning.plan import Plan
from edgekit.pruning.pruner import BoundPruner, Pruner
from edgekit.pruning.state import Resumable, State, pack, unpack


class ScheduledMasks(Resumable, keras.callbacks.Callback):
    """A callback whose masks change as a plan says; subclasses say when and to what.

    Args:
        pruner: What to prune.
        schedule: What the plan asks for sparsity, if anything.
    """

    def __init__(self, pruner: Pruner, schedule=None):
        super().__init__()
        self._pruner = pruner
        self.schedule = schedule

    @property
    def masks(self) -> dict[str, np.ndarray]:
        """`{kernel path: mask}` of this or the last fit, True where a weight stays."""
        paths = [kernel.variable.path for kernel in self._begun().kernels]
        return dict(zip(paths, self._kernel_masks(), strict=True))

    def _make_plan(self, total_steps: int | None) -> Plan:
        raise NotImplementedError(f"{type(self).__name__} must say when masks change")

    def _first_masks(self) -> list[np.ndarray]:
        return [np.ones(v.shape, dtype=bool) for v in self._bound.variables]

    def _masks_at(self, step: int) -> list[np.ndarray]:
        raise NotImplementedError(f"{type(self).__name__} must say what masks become")

    def on_train_begin(self, logs=None):
        state, self._resumed = self._resumed, None
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        self._steps = steps
        if state is None:
            self._plan = self._make_plan(steps * epochs if steps else None)
        else:
            self._plan = Plan(self.schedule, *(int(v) for v in state["plan"]))
        self._bound = self._pruner.bind(self.model)
        self._next_step = None if state is None else int(state["step"])
        self._updates_done = 0
        self._history = []
        masks = self._first_masks() if state is None else self._take_up_state(state)
        companions = self._bound.companions
        self._held = HeldMasks(
            self.model,
            self._bound.variables + companions.variables,
            masks + companions.masks(masks),
            self.params,
        )
        self._note_sparsity()

    def on_epoch_begin(self, epoch, logs=None):
        if self._next_step is None:  # the first epoch of this fit
            self._next_step = epoch * (self._steps or 0)
            if self._next_step > self._plan.begin:
                # Of a fit that begins in the middle: what is zero was pruned before.
                self._updates_done = self._plan.updates_due(self._next_step - 1)
                self._put([weights != 0 for weights in self._bound.weights()])
        self._epoch_start = self._next_step

    def on_train_batch_begin(self, batch, logs=None):
        step = self._epoch_start + batch
        due = self._plan.updates_due(step)
        if due > self._updates_done:
            self._put(self._masks_at(step))
            self._updates_done = due
            self._history.append((step, [float(np.mean(~m)) for m in self._kernel_masks()]))

    def on_train_batch_end(self, batch, logs=None):
        self._next_step = self._epoch_start + batch + 1
        if logs is not None:
            logs["sparsity"] = self._sparsity

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["sparsity"] = sparsity_of(self._bound.variables)

    def on_train_end(self, logs=None):
        self._held.release()
        if self._bound.watch:
            self._bound.watch.release()

    def _begun(self) -> BoundPruner:
        if not hasattr(self, "_held"):
            raise ValueError(f"{type(self).__name__}: no fit with this callback has begun yet")
        return self._bound

    def _kernel_masks(self) -> list[np.ndarray]:
        return self._held.masks[: len(self._bound.kernels)]

    def _put(self, masks: list[np.ndarray]) -> None:
        self._held.update(masks + self._bound.companions.masks(masks))
        self._note_sparsity()

    def _note_sparsity(self) -> None:
        masks = self._kernel_masks()
        kept = sum(np.count_nonzero(mask) for mask in masks)
        self._sparsity = 1 - kept / sum(mask.size for mask in masks)

    def _state(self) -> State:
        kernels = self._begun().kernels
        state = {
            "step": np.array(self._next_step or 0),
            "plan": np.array([self._plan.begin, self._plan.end, self._plan.every]),
            **pack("mask", kernels, self._kernel_masks()),
        }
        if self._bound.watch:
            state |= pack("observed", kernels, self._bound.watch.read())
        return state

    def _take_up_state(self, state: State) -> list[np.ndarray]:
        self._updates_done = self._plan.updates_due(self._next_step - 1)
        if self._bound.watch:
            self._bound.watch.write(unpack("observed", self._bound.kernels, state))
        return unpack("mask", self._bound.kernels, state)

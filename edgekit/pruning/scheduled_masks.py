"""Masks that change at certain steps of a fit, which may go on from an earlier one."""

import numpy as np

from edgekit.pruning.held_masks import sparsity_of
from edgekit.pruning.plan import Plan
from edgekit.pruning.pruner import Pruner
from edgekit.pruning.pruning_callback import PruningCallback
from edgekit.pruning.schedules import Schedule
from edgekit.pruning.state import State, pack, unpack


class ScheduledMasks(PruningCallback):
    """A callback whose masks change as a plan says; subclasses say when and to what.

    Args:
        pruner: What to prune.
        schedule: What the plan asks for sparsity, if anything.
    """

    def __init__(self, pruner: Pruner, schedule: Schedule | None = None):
        super().__init__(pruner)
        self.schedule = schedule

    def _make_plan(self, total_steps: int | None) -> Plan:
        raise NotImplementedError(f"{type(self).__name__} must say when masks change")

    def _first_masks(self) -> list[np.ndarray] | None:
        return None  # nothing is gone yet

    def _update(self, step: int) -> None:
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
        self._history = []
        self._verified = False
        if state is None:
            self._updates_done = 0
            self._hold(self._first_masks())
        else:
            self._take_up(state)

    def on_epoch_begin(self, epoch, logs=None):
        if self._next_step is None:  # the first epoch of this fit
            self._next_step = epoch * (self._steps or 0)
            if self._next_step > self._plan.begin:
                # Of a fit that begins in the middle: what is zero was pruned before.
                self._updates_done = self._plan.updates_due(self._next_step - 1)
                self._bound.update([weights != 0 for weights in self._bound.weights()])
        self._epoch_start = self._next_step

    def on_train_batch_begin(self, batch, logs=None):
        step = self._epoch_start + batch
        due = self._plan.updates_due(step)
        if due > self._updates_done:
            self._update(step)
            self._updates_done = due
            self._history.append((step, self._bound.shares_gone))

    def on_train_batch_end(self, batch, logs=None):
        self._next_step = self._epoch_start + batch + 1
        if not self._verified and self._bound.sparsity:
            self._verify()
        if logs is not None:
            logs["sparsity"] = self._bound.sparsity

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["sparsity"] = sparsity_of(self._bound.variables)

    def _verify(self) -> None:
        """Whether the first step under a mask left what is masked at zero, as all others will."""
        self._verified = True
        for weights, mask in zip(self._bound.weights(), self._bound.held, strict=True):
            if weights[~mask].any():
                raise ValueError(
                    "the masks do not hold: another callback changes the same weights in this fit "
                    "(cluster in a second fit), or the train step was traced before them or "
                    "updates weights by other means than optimizer.apply; trace it within "
                    "ek.custom_loop"
                )

    def _state(self) -> State:
        kernels = self._bound.kernels
        state = {
            "step": np.array(self._next_step or 0),
            "plan": np.array([self._plan.begin, self._plan.end, self._plan.every]),
            **pack("mask", kernels, self._bound.held),
        }
        if self._bound.watch:
            state |= pack("observed", kernels, self._bound.watch.read())
        return state

    def _take_up(self, state: State) -> None:
        self._updates_done = self._plan.updates_due(self._next_step - 1)
        self._hold(unpack("mask", self._bound.kernels, state))
        if self._bound.watch:
            self._bound.watch.write(unpack("observed", self._bound.kernels, state))

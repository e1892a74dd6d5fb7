"""Masks that change at certain steps of a fit, which may go on from an earlier one."""

import numpy as np

from edgekit.core.next_fit import CUSTOM_LOOP
from edgekit.core.step_counter import StepCounter
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

    def _update(self, step: int) -> None:
        raise NotImplementedError(f"{type(self).__name__} must say what masks become")

    def on_train_begin(self, logs=None):
        state, self._resumed = self._resumed, None
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        if state is None:
            self._plan = self._make_plan(steps * epochs if steps else None)
        else:
            self._plan = Plan(self.schedule, *(int(v) for v in state["plan"]))
        self._bound = self._pruner.bind(self.model)
        self._counter = StepCounter(steps, None if state is None else int(state["step"]))
        # A callback sees only the first of several steps in one call.
        several = 1 if self.params.get(CUSTOM_LOOP) else self.model.steps_per_execution
        self._ahead = several - 1
        self._history: list[tuple[int, np.ndarray]] = []
        self._started, self._verified = state is not None, False
        self._trained = state is not None
        if state is None:
            self._updates_done = 0
            self._hold(None)
        else:
            self._take_up(state)

    def on_epoch_begin(self, epoch, logs=None):
        super().on_epoch_begin(epoch, logs)
        self._counter.begin_epoch(epoch)

    def on_train_batch_begin(self, batch, logs=None):
        step = self._counter.begin_batch(batch)
        if not self._started:
            # Not when the fit or an epoch begins: other callbacks may put weights in then.
            self._started = True
            self._start(step)
        if step is None:
            return
        if not self._sees_nothing:
            step += self._ahead
        elif self._bound.sparsity or self._plan.asks_at(step):
            return  # at the next step there is something to judge by
        due = self._plan.updates_due(step)
        if due > self._updates_done:
            self._update(step)
            self._updates_done = due
            self._history.append((step, self._bound.shares_gone))

    def on_train_batch_end(self, batch, logs=None):
        self._counter.end_batch(batch)
        self._trained = True
        if not self._verified and self._bound.sparsity:
            self._verified = True
            self._bound.verify()
        if logs is not None:
            logs["sparsity"] = self._bound.sparsity

    def on_epoch_end(self, epoch, logs=None):
        self._counter.end_epoch(epoch)
        super().on_epoch_end(epoch, logs)

    @property
    def _sees_nothing(self) -> bool:
        """Whether weights are judged by steps trained, and none has been yet."""
        return self._pruner.criterion.needs_steps and not self._trained

    def _start(self, step: int | None) -> None:
        """Take up what is there.

        Args:
            step: Where in the fit this is; None in its first epoch where that is not known.
        """
        if step is not None and step > self._plan.begin:
            self._updates_done = self._plan.updates_due(step - 1)
            if self._plan.sparsity(step - 1, 0.5) == 0:
                return  # all may grow again
        self._bound.start_from_weights()

    def _state(self) -> State:
        kernels = self._bound.kernels
        state = {
            "step": np.array(self._counter.done),
            "plan": np.array([self._plan.begin, self._plan.end, self._plan.every]),
            **pack("mask", kernels, self._bound.held),
        }
        if self._bound.watch:
            state |= pack("observed", kernels, self._bound.watch.read())
        return state

    def _take_up(self, state: State) -> None:
        self._updates_done = self._plan.updates_due(self._counter.step - 1)
        self._hold(unpack("mask", self._bound.kernels, state))
        if self._bound.watch:
            self._bound.watch.write(unpack("observed", self._bound.kernels, state))

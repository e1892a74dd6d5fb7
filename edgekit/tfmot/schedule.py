"""edgekit's schedules in TFMOT's words."""

import numpy as np
import tensorflow as tf

from edgekit.pruning.plan import Plan
from edgekit.pruning.schedules import Schedule
from edgekit.tfmot.engine import load_tfmot

tfmot = load_tfmot()


class PlannedSchedule(tfmot.sparsity.keras.PruningSchedule):
    """The schedule of one layer, whose steps are known once the fit begins.

    Args:
        schedule: An `ek.schedules` object.
        final: Sparsity that it rises to.
    """

    def __init__(self, schedule: Schedule, final: float):
        self.schedule, self.final = schedule, final
        self._least = 0.0
        self._plan: Plan | None = None
        # Sparsity by step, -1 where masks stay as they are.
        self._levels = tf.Variable(tf.fill([1], -1.0), shape=[None], trainable=False)

    def begin(self, total_steps: int | None) -> None:
        """Work out the steps of a fit.

        Args:
            total_steps: Of the fit; None when not known.

        Raises:
            ValueError: The fit is too short for the schedule, or of unknown length.
        """
        self._plan, self._least = self.schedule.plan(total_steps), 0.0
        self._write()

    def start_from(self, zeros: float) -> None:
        """Leave masks as they are until the schedule asks for as many zeros as there are.

        Args:
            zeros: Share of the layer's weights that are zero, 0 to 1.
        """
        self._least = zeros
        self._write()

    def is_due(self, step: int, before: int) -> bool:
        """Whether masks change after step `before` and up to `step`, as TFMOT counts steps."""
        return bool(np.any(self._levels.numpy()[max(before, 0) : max(step, 0)] >= 0))

    def _write(self) -> None:
        plan, least = self._plan, self._least
        levels = np.full(plan.end + 1, -1.0, "float32")
        done = 0
        for step in range(plan.end + 1):
            due = plan.updates_due(step)
            if due > done:
                level, done = plan.sparsity(step, self.final), due
                if level >= least:
                    # From now on the schedule may also let weights grow.
                    levels[step], least = level, 0.0
        self._levels.assign(levels)

    def __call__(self, step):
        levels = self._levels.read_value()
        index = tf.cast(step, tf.int64) - 1  # TFMOT counts steps from one
        last = tf.cast(tf.shape(levels)[0], tf.int64) - 1
        level = tf.gather(levels, tf.clip_by_value(index, 0, last))
        due = (level >= 0) & (index >= 0) & (index <= last)
        return due, tf.maximum(level, 0.0)

    def get_config(self) -> dict:
        """Its outside: the steps are those of a fit."""
        return {"class_name": "PlannedSchedule", "config": {"final": self.final}}

"""edgekit's schedules in TFMOT's words."""

import numpy as np
import tensorflow as tf

from edgekit.pruning.schedules import Schedule
from edgekit.tfmot.engine import load_tfmot

tfmot = load_tfmot()


class PlannedSchedule(tfmot.sparsity.keras.PruningSchedule):
    """A schedule whose steps are known once the fit begins, one for all layers of a sparsity.

    Args:
        schedule: An `ek.schedules` object.
        final: Sparsity that it rises to.
    """

    def __init__(self, schedule: Schedule, final: float):
        self.schedule, self.final = schedule, final
        # Sparsity by step, -1 where masks stay as they are.
        self._levels = tf.Variable(tf.fill([1], -1.0), shape=[None], trainable=False)

    def begin(self, total_steps: int | None) -> None:
        """Work out the steps of a fit.

        Args:
            total_steps: Of the fit; None when not known.

        Raises:
            ValueError: The fit is too short for the schedule, or of unknown length.
        """
        plan = self.schedule.plan(total_steps)
        levels = np.full(plan.end + 1, -1.0, "float32")
        done = 0
        for step in range(plan.end + 1):
            due = plan.updates_due(step)
            if due > done:
                levels[step], done = plan.sparsity(step, self.final), due
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


class UpdatePruning(tfmot.sparsity.keras.UpdatePruningStep):
    """TFMOT's callback, which also begins the schedules and masks the weights at the end."""

    def on_train_begin(self, logs=None):
        super().on_train_begin(logs)
        self._begun = False

    def on_epoch_begin(self, epoch, logs=None):
        if self._begun:
            return
        self._begun = True
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        # Which epoch is the first is not said before.
        total = steps * (epochs - epoch) if steps and epochs else None
        schedules = {id(layer.pruning_schedule): layer.pruning_schedule for layer in self.layers}
        for schedule in schedules.values():
            schedule.begin(total)
        for layer in self.layers:  # a second fit begins its schedule anew
            layer.pruning_step.assign(0)

    @property
    def layers(self) -> list:
        """The wrapped layers."""
        return self.prunable_layers

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        for layer in self.layers:
            layer.pruning_obj.weight_mask_op()

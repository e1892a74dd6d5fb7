"""Gradual magnitude pruning as a callback of `model.fit`."""

import warnings
from collections.abc import Mapping
from numbers import Real

import keras
import numpy as np
from keras import ops

from edgekit.core.kernels import select_kernels
from edgekit.core.selection import LayerFilter, value_per_layer
from edgekit.pruning.held_masks import HeldMasks, sparsity_of
from edgekit.pruning.masks import global_magnitude_masks, magnitude_mask
from edgekit.pruning.schedules import Polynomial


class GradualPruning(keras.callbacks.Callback):
    """Prunes the smallest weights of a model while it trains, on a schedule.

    The model stays what it is: no layer is wrapped and nothing has to be stripped. A pruned
    weight is held at zero inside the compiled train step, so every checkpoint is sparse. The
    epoch logs gain `sparsity`, the share of zeros over all selected kernels. A callback that
    puts earlier weights back at the end of the fit, as `EarlyStopping(restore_best_weights=True)`
    does, belongs before this one in the list; the last masks are then applied to its weights.

    Example:
        >>> model.fit(x, y, epochs=5, callbacks=[ek.GradualPruning(0.8)])
        >>> ek.GradualPruning({"conv": 0.5, "dense": 0.9})
        >>> ek.GradualPruning(0.9, ek.schedules.Polynomial(begin=0.2, end=0.8), scope="global")

    Args:
        sparsity: Share of weights that end up zero, 0 to below 1, or `{regex: share}` by layer
            path, which prunes the layers it names and no others.
        schedule: An `ek.schedules` object. Defaults to `None`: `Polynomial()`, the cubic
            schedule from the first step to 75 % of the fit.
        scope: `"layer"` brings each kernel to `sparsity`; `"global"` ranks the weights of all
            kernels together, so large layers lose more. Defaults to `"layer"`.
        layers: Which layers: a regular expression on the path, a list of them, or a callable.
            Defaults to `None`: every layer with a kernel, but depthwise kernels stay dense (a
            few weights that each carry a whole channel; the source leaves them dense too).
            Name them in `layers` to prune them.

    Raises:
        TypeError: `sparsity` is no number, or `schedule` no schedule.
        ValueError: `sparsity` outside its range, an unknown `scope`, a selection without a
            kernel, or, before the first step, a fit too short for the schedule.

    Source: Zhu & Gupta 2017, arXiv 1710.01878 (schedule); Han et al. 2015, arXiv 1506.02626.
    """

    def __init__(
        self,
        sparsity: float | Mapping[str, float],
        schedule: Polynomial | None = None,
        *,
        scope: str = "layer",
        layers: LayerFilter = None,
    ):
        super().__init__()
        for value in sparsity.values() if isinstance(sparsity, Mapping) else [sparsity]:
            _check_sparsity(value)
        if scope not in ("layer", "global"):
            raise ValueError(f"`scope` must be 'layer' or 'global'. Received: scope={scope!r}")
        if scope == "global" and isinstance(sparsity, Mapping):
            raise ValueError(
                "`scope='global'` takes one sparsity for all layers; use scope='layer' with "
                f"{{regex: sparsity}}. Received: sparsity={sparsity!r}"
            )
        if isinstance(sparsity, Mapping) and layers is not None:
            raise ValueError(
                "`sparsity` as {regex: share} names the layers itself: leave `layers` out"
            )
        if schedule is not None and not hasattr(schedule, "plan"):
            raise TypeError(
                "`schedule` must be an ek.schedules object, such as ek.schedules.Polynomial(). "
                f"Received: schedule={schedule!r}"
            )
        self.sparsity = sparsity
        self.schedule = schedule or Polynomial()
        self.scope = scope
        self.layers = list(sparsity) if isinstance(sparsity, Mapping) else layers

    def on_train_begin(self, logs=None):
        selected = select_kernels(self.model, self.layers, depthwise=False)
        final = value_per_layer(selected, self.sparsity, "sparsity")
        self._kernels = [k for kernels in selected.values() for k in kernels]
        self._final = [final[layer] for layer, kernels in selected.items() for _ in kernels]
        steps, epochs = self.params.get("steps"), self.params.get("epochs")
        self._steps = steps
        self._plan = self.schedule.plan(steps * epochs if steps else None)
        self._updates_done = 0
        self._epoch_start = 0
        self._next_step = 0
        dense = [np.ones(k.shape, dtype=bool) for k in self._kernels]
        self._masks = HeldMasks(self.model, self._kernels, dense, self.params)

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch_start = epoch * self._steps if self._steps else self._next_step

    def on_train_batch_begin(self, batch, logs=None):
        step = self._epoch_start + batch
        due = self._plan.updates_due(step)
        if due > self._updates_done:
            self._masks.update(self._masks_for(step))
            self._updates_done = due

    def on_train_batch_end(self, batch, logs=None):
        self._next_step = self._epoch_start + batch + 1

    def on_epoch_end(self, epoch, logs=None):
        if logs is not None:
            logs["sparsity"] = sparsity_of(self._kernels)

    def on_train_end(self, logs=None):
        self._masks.release()
        if self._next_step <= self._plan.end:
            warnings.warn(
                f"GradualPruning: the fit stopped after {self._next_step} steps, before the "
                f"schedule's end at step {self._plan.end}; sparsity is "
                f"{sparsity_of(self._kernels):.1%}",
                stacklevel=2,
            )

    def _masks_for(self, step: int) -> list[np.ndarray]:
        weights = [ops.convert_to_numpy(k) for k in self._kernels]
        if self.scope == "global":
            return global_magnitude_masks(weights, self._plan.sparsity(step, self.sparsity))
        return [
            magnitude_mask(w, self._plan.sparsity(step, final))
            for w, final in zip(weights, self._final, strict=True)
        ]


def _check_sparsity(value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"`sparsity` must be a number from 0 to below 1. Received: {value!r}")
    if not 0 <= value < 1:
        hint = f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""
        raise ValueError(f"`sparsity` must be from 0 to below 1. Received: {value}{hint}")

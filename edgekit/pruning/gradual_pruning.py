"""Gradual pruning as a callback of `model.fit`."""

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from edgekit.core.plots import new_figure, save_figure
from edgekit.core.selection import LayerFilter
from edgekit.pruning.criteria import Criterion
from edgekit.pruning.granularities import Granularity
from edgekit.pruning.plan import Plan
from edgekit.pruning.pruner import Pruner
from edgekit.pruning.scheduled_masks import ScheduledMasks
from edgekit.pruning.schedules import Polynomial, Schedule, check_schedule

# A sparsity so far from the one asked for is worth a warning.
_FAR = 0.05


class GradualPruning(ScheduledMasks):
    """Prunes what matters least in a model while it trains, on a schedule.

    The model stays what it is: no layer is wrapped and nothing has to be stripped. A pruned
    weight is held at zero inside the compiled train step, so every checkpoint is sparse. The
    logs gain `sparsity`, the share of zeros over all selected kernels. Averages of
    weights and weights that other callbacks put back are masked too, wherever these stand in the
    list. Of what `EarlyStopping(restore_best_weights=True)` puts back from before the last masks
    that is said: let it look only once the schedule has ended (`start_from_epoch`).

    A model that is sparse already keeps its zeros until the schedule asks for more.

    Example:
        >>> model.fit(x, y, epochs=5, callbacks=[ek.GradualPruning(0.8)])
        >>> ek.GradualPruning({"conv": 0.5, "dense": 0.9})
        >>> ek.GradualPruning(0.9, ek.schedules.OneCycle(), scope="global")
        >>> ek.GradualPruning(granularity=(2, 4))                    # 2:4
        >>> ek.GradualPruning(0.5, granularity="filter", criterion="taylor")

    Args:
        sparsity: Share of weights that end up zero, 0 to below 1, or `{regex: share}` by layer
            path, which prunes the layers it names and no others. Defaults to `None`, for an
            (n, m) pattern only: what the pattern makes.
        schedule: An `ek.schedules` object. Defaults to `None`: `Polynomial()`, the cubic
            schedule from the first step to 75 % of the fit.
        granularity: What goes at once: `"weight"`, `"vector"` (a row of a kernel), `"kernel"`
            (the positions between two channels), `"filter"` (an output channel, with its bias and
            the BatchNormalization after it), `"channel"` (an input channel), `"layer"`, a
            pattern `(n, m)` that keeps n of m neighbouring input channels, or an
            `ek.granularities` object such as `Block(4, 4)`. Filters, channels and layers come in
            sizes: the share is met as nearly as whole ones allow, and one of each layer stays.
            Defaults to `"weight"`.
        criterion: What matters least: `"magnitude"` (`"l1"`), `"l2"`, `"movement"`, `"taylor"`,
            `"random"`, `"wanda"`, `"geometric_median"` (filters), `"batchnorm_scale"` (filters or
            channels), a function of the weights, or an `ek.criteria` object. Defaults to
            `"magnitude"`.
        scope: `"layer"` brings each kernel to `sparsity`; `"erk"` gives large kernels more of it
            and small ones less; `"global"` ranks all kernels together. Defaults to `"layer"`.
        layers: Which layers: a regular expression on the path, a list of them, or a callable.
            Defaults to `None`: every layer with a kernel, but depthwise kernels stay dense (a
            few weights that each carry a whole channel; the source leaves them dense too), and of
            a Functional or Sequential model the last layers keep their filters and the first
            ones their channels. Name them to prune them.
        protect: Which layers not, in the same way. Defaults to `None`.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: One outside its range, a selection without a kernel, or, before the first
            step, a fit too short for the schedule.

    Source: Zhu & Gupta 2017, arXiv 1710.01878 (schedule); Han et al. 2015, arXiv 1506.02626.
    """

    def __init__(
        self,
        sparsity: float | Mapping[str, float] | None = None,
        schedule: Schedule | None = None,
        granularity: str | tuple[int, int] | Granularity = "weight",
        criterion: str | Callable[[np.ndarray], np.ndarray] | Criterion = "magnitude",
        scope: str = "layer",
        layers: LayerFilter = None,
        protect: LayerFilter = None,
    ):
        check_schedule(schedule)
        pruner = Pruner(sparsity, granularity, criterion, scope, layers, protect)
        super().__init__(pruner, schedule or Polynomial())

    def plot(self, path: str | Path | None = None):
        """Draw each kernel's sparsity over the steps of the fit.

        Args:
            path: Where to save the picture. Defaults to `None`: nowhere.

        Returns:
            The matplotlib figure.

        Raises:
            ValueError: No fit with this callback has begun.
            ImportError: matplotlib is missing (extra `report`).
        """
        kernels = self._begun().kernels
        figure, axes = new_figure(width=8, height=4.5)
        steps = [step for step, _ in self._history] + [self._counter.done]
        for kernel in kernels:
            levels = [levels[kernel.number] for _, levels in self._history]
            levels += levels[-1:] or [0.0]  # to the last step
            axes.step(steps, levels, where="post", label=kernel.variable.path)
        axes.set(xlabel="step", ylabel="sparsity", ylim=(-0.02, 1.02))
        axes.legend(fontsize=7, ncols=1 + len(kernels) // 16)
        return save_figure(figure, path)

    def on_train_end(self, logs=None):
        super().on_train_end(logs)
        done, reached = self._counter.done, self._bound.sparsity
        if self._updates_done < self._plan.updates_due(self._plan.end):
            warnings.warn(
                f"GradualPruning: the fit stopped after {done} steps, before the "
                f"schedule's end at step {self._plan.end}; sparsity is {reached:.1%}",
                stacklevel=2,
            )
            return
        wanted = self._bound.wanted(lambda final: self._plan.sparsity(done, final))
        if abs(reached - wanted) > _FAR:
            warnings.warn(
                f"GradualPruning: sparsity is {reached:.1%}, not {wanted:.1%}: whole groups come "
                "no nearer; choose a finer `granularity`",
                stacklevel=2,
            )

    def _make_plan(self, total_steps: int | None) -> Plan:
        plan = self.schedule.plan(total_steps)
        criterion = self._pruner.criterion
        if criterion.needs_steps and plan.sparsity(0, 0.5) > 0:
            raise ValueError(
                f"{type(criterion).__name__} judges weights by the steps trained so far, and the "
                "schedule prunes at the first: begin it later, such as with "
                "ek.schedules.OneShot(at=0.5)"
            )
        return plan

    def _update(self, step: int) -> None:
        self._bound.prune(lambda final: self._plan.sparsity(step, final))

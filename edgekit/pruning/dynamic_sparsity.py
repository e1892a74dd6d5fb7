"""Sparse training from start to end, with connections that move: RigL and SET."""

import math
from collections.abc import Mapping

import numpy as np

from edgekit.core.arguments import check_whole, is_number
from edgekit.core.gradient_watch import GradientWatch
from edgekit.core.positions import check_position, to_step
from edgekit.core.selection import LayerFilter
from edgekit.pruning.criteria import Criterion, Magnitude
from edgekit.pruning.masks import drop_count, keep_highest
from edgekit.pruning.plan import Plan
from edgekit.pruning.pruner import Pruner
from edgekit.pruning.scheduled_masks import ScheduledMasks

_METHODS = ("rigl", "set")


class DynamicSparsity(ScheduledMasks):
    """Trains a net that is sparse all along: connections are dropped and others grown.

    The masks begin at random; a kernel that is sparse already begins with the weights it has. At
    each update the smallest weights of a kernel go and as many others come, from zero: where the
    gradients since the last update sum to most (RigL), or anywhere (SET). The share that moves
    falls to nothing along a cosine. Each kernel keeps its number of weights throughout, so that
    the cost of a sparse step is constant.

    Example:
        >>> model.fit(x, y, epochs=20, callbacks=[ek.DynamicSparsity(0.9)])
        >>> ek.DynamicSparsity(0.9, "set", every=200, share=0.2)

    Args:
        sparsity: Share of weights that are zero, 0 to below 1, or `{regex: share}` by layer path.
        method: `"rigl"` or `"set"`. Defaults to `"rigl"`.
        every: Steps between two updates. Defaults to `100`.
        share: Share of a kernel's weights that moves at first, above 0 and up to 1. Defaults to
            `0.3`.
        end: When connections stop moving; a float is a fraction of the fit, an int a step.
            Defaults to `0.75`.
        scope: `"erk"` or `"layer"`, as in `ek.GradualPruning`. Defaults to `None`: `"erk"`, and
            `"layer"` with `{regex: share}`.
        layers: Which layers, as in `ek.GradualPruning`. Defaults to `None`.
        protect: Which layers not. Defaults to `None`.
        seed: Of the first masks, and of what SET grows. Defaults to `0`.

    Raises:
        TypeError: An argument of the wrong kind.
        ValueError: One outside its range, or, before the first step, a fit too short for an
            update.

    Source: Evci et al. 2020, "Rigging the Lottery", arXiv 1911.11134; Mocanu et al. 2018,
    "Scalable Training of Artificial Neural Networks with Adaptive Sparse Connectivity", arXiv
    1707.04780.
    """

    def __init__(
        self,
        sparsity: float | Mapping[str, float],
        method: str = "rigl",
        *,
        every: int = 100,
        share: float = 0.3,
        end: float | int = 0.75,
        scope: str | None = None,
        layers: LayerFilter = None,
        protect: LayerFilter = None,
        seed: int = 0,
    ):
        if method not in _METHODS:
            raise ValueError(f"`method` must be 'rigl' or 'set'. Received: method={method!r}")
        check_whole("every", every)
        if not is_number(share) or not 0 < share <= 1:
            raise ValueError(f"`share` must be above 0 and up to 1. Received: share={share!r}")
        if scope == "global":
            raise ValueError(
                "each kernel keeps its number of weights: `scope` must be 'erk' or 'layer'. "
                "Received: scope='global'"
            )
        check_whole("seed", seed, least=0)
        check_position("end", end)
        if scope is None:
            scope = "layer" if isinstance(sparsity, Mapping) else "erk"
        criterion = _Gradient() if method == "rigl" else Magnitude()
        super().__init__(Pruner(sparsity, "weight", criterion, scope, layers, protect))
        self.method, self.every, self.share, self.end, self.seed = method, every, share, end, seed

    def _make_plan(self, total_steps: int | None) -> Plan:
        stop = to_step("end", self.end, total_steps)
        if total_steps is not None and stop > total_steps:
            raise ValueError(
                f"`end`={self.end} lies beyond the {total_steps} steps of the fit: train longer "
                "or set it earlier"
            )
        if stop < self.every:
            raise ValueError(
                f"connections move every {self.every} steps and stop moving at step {stop}: not "
                "once in this fit. Train longer, or lower `every`"
            )
        return Plan(None, self.every, stop - stop % self.every, self.every)

    def _start(self, step: int | None) -> None:
        if step is not None and step > self._plan.begin:
            self._updates_done = self._plan.updates_due(step - 1)
        masks = []
        for kernel, weights in zip(self._bound.kernels, self._bound.weights(), strict=True):
            scores = self._chance(0, kernel.number).random(weights.shape, "float32")
            scores += weights != 0  # of a sparse kernel, what is there stays
            masks.append(keep_highest(scores, drop_count(kernel.sparsity, scores.size)))
        self._bound.update(masks)

    def _update(self, step: int) -> None:
        share = self.share / 2 * (1 + math.cos(math.pi * step / self._plan.end))
        wanted = self._wish_to_grow(step)
        masks = []
        for weights, mask, grow in zip(
            self._bound.weights(), self._bound.held, wanted, strict=True
        ):
            masks.append(_moved(mask, np.abs(weights), grow, share))
        if self.method == "rigl":
            self._bound.watch.reset()
        self._bound.update(masks)

    def _wish_to_grow(self, step: int) -> list[np.ndarray]:
        if self.method == "rigl":
            return [np.abs(total) for total in self._bound.watch.read()]
        return [
            self._chance(step, kernel.number).random(tuple(kernel.variable.shape), "float32")
            for kernel in self._bound.kernels
        ]

    def _chance(self, step: int, number: int) -> np.random.Generator:
        return np.random.default_rng([self.seed, step, number])


class _Gradient(Criterion):
    """Sums gradients; what is zero has one too."""

    needs_steps = True

    def watch(self, model, kernels, granularity):
        return GradientWatch(model, [k.variable for k in kernels], lambda w, g: g)


def _moved(mask: np.ndarray, size: np.ndarray, grow: np.ndarray, share: float) -> np.ndarray:
    """The mask with `share` of its weights, the smallest, given up for those that wish to grow."""
    count = min(round(share * np.count_nonzero(mask)), np.count_nonzero(~mask))
    stay = keep_highest(np.where(mask, size, -1), np.count_nonzero(~mask) + count)
    # What was just dropped may come back; what stays is no candidate.
    return stay | keep_highest(np.where(stay, -1, grow), mask.size - count)

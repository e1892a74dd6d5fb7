"""Kernels of a model, and which of their weights stay."""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from edgekit.core.companions import Companions
from edgekit.core.held_masks import HeldMasks
from edgekit.core.kept_zeros import starts_at_zero
from edgekit.core.together import Together
from edgekit.pruning.criteria import Criterion, Magnitude
from edgekit.pruning.granularities import Filter, Granularity, Weight
from edgekit.pruning.masks import drop_count, keep_highest, keep_highest_by_size
from edgekit.pruning.pruned_kernel import PrunedKernel
from edgekit.pruning.small_steps import SmallSteps
from edgekit.pruning.watches import Watch


class BoundPruner:
    """The kernels of one model, pruned as was chosen.

    Args:
        model: The model.
        kernels: Those to prune, each with its sparsity.
        granularity: What goes at once.
        criterion: What matters least.
        overall: Sparsity of all kernels together, where they are ranked together; None where each
            is ranked by itself.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[PrunedKernel],
        granularity: Granularity,
        criterion: Criterion,
        overall: float | None = None,
    ):
        self.kernels = list(kernels)
        self.variables = [kernel.variable for kernel in kernels]
        filters = isinstance(granularity, Filter)
        self.companions = Companions(model, kernels if filters else [])
        self.watch: Watch | None = None
        self._model, self._granularity, self._criterion = model, granularity, criterion
        self._overall = overall
        for kernel in kernels:
            granularity.check(kernel)
        self._values = Together(model, self.variables)
        self._sizes = np.array([int(np.prod(v.shape)) for v in self.variables])
        self._gone = np.zeros(len(self.variables), int)
        # What was zero when the fit began, of each kernel and of all: the schedule has yet to
        # catch up with it.
        self._least = np.zeros(len(self.variables) + 1)

    def hold(self, masks: Sequence[np.ndarray] | None) -> None:
        """Hold the kernels at zero where the masks are False, through the fit to come.

        Args:
            masks: One per kernel; None for all True.

        Raises:
            ValueError: The criterion does not fit the model.
        """
        self.watch = self._criterion.watch(self._model, self.kernels, self._granularity)
        self._least[:] = 0
        if masks is None:
            masks = [np.ones(v.shape, dtype=bool) for v in self.variables]
        variables = self.variables + self.companions.variables
        self._held = HeldMasks(self._model, variables, masks + self.companions.masks(masks))
        self._gone = _count_gone(masks)
        self._small_steps = SmallSteps(self._model, self._held, len(self.kernels))

    @property
    def held(self) -> list[np.ndarray]:
        """The masks of the kernels, as they are held now."""
        return self._held.masks[: len(self.kernels)]

    def start_from_weights(self) -> None:
        """Hold what is zero already, until the schedule asks for as much."""
        granularity, masks = self._granularity, []
        for kernel, weights in zip(self.kernels, self.weights(), strict=True):
            alive = (weights != 0).astype("float32")
            whole = not alive.any()
            if whole and (granularity.keeps_one or starts_at_zero(kernel) is not False):
                alive = np.ones_like(alive)  # a new layer: there is no pruning that leaves nothing
            groups = granularity.reduce(alive, kernel.axes) > 0
            masks.append(granularity.expand(groups, weights.shape, kernel.axes))
        gone = _count_gone(masks)
        if not gone.any():
            return
        self.update(masks)
        self._least[:-1] = self.shares_gone
        self._least[-1] = self.sparsity

    def update(self, masks: Sequence[np.ndarray]) -> None:
        """Hold these masks from now on."""
        self._held.update(masks + self.companions.masks(masks))
        self._gone = _count_gone(masks)

    def prune(self, reach: Callable[[float], float]) -> None:
        """Prune today's weights; what is gone stays gone unless sparsity falls.

        Args:
            reach: Gives today's sparsity for a final one.
        """
        if not self._gone.any() and self.wanted(reach) == 0:
            return  # as at the first step of most schedules
        if self._smallest_go:
            wanted = [
                drop_count(self._share(reach, kernel.sparsity, kernel.number), size)
                for kernel, size in zip(self.kernels, self._sizes, strict=True)
            ]
            more = np.array(wanted) - self._gone
            if self._small_steps.are_few(more):
                self._small_steps.drop(more)
                self._gone += more
                return
        self.update(self._masks(reach))

    def apply(self) -> None:
        """Set to zero what other hands have put there."""
        self._held.apply()

    def verify(self) -> None:
        """See `HeldMasks`."""
        self._held.verify()

    def release(self) -> None:
        """Let the kernels go and observe no more."""
        self._held.release()
        if self.watch:
            self.watch.release()

    @property
    def shares_gone(self) -> np.ndarray:
        """Share of each kernel's weights that are held at zero, 0 to 1."""
        return self._gone / self._sizes

    @property
    def sparsity(self) -> float:
        """Share of all kernels' weights that are held at zero, 0 to 1."""
        return float(self._gone.sum() / self._sizes.sum())

    def wanted(self, reach: Callable[[float], float]) -> float:
        """The sparsity asked for over all kernels, where `reach` gives today's for a final one."""
        if self._overall is not None:
            return reach(self._overall)
        shares = [reach(kernel.sparsity) for kernel in self.kernels]
        return float(np.average(shares, weights=self._sizes))

    def weights(self) -> list[np.ndarray]:
        """The kernels' values, in float32."""
        return self._values.read()

    @property
    def _smallest_go(self) -> bool:
        # Not `isinstance`: a subclass may score otherwise.
        single = type(self._granularity) is Weight and type(self._criterion) is Magnitude
        return single and self._overall is None

    def _masks(self, reach) -> list[np.ndarray]:
        criterion, granularity = self._criterion, self._granularity
        weights = self.weights()
        observed = self.watch.read() if self.watch else [None] * len(weights)
        groups = []
        for kernel, values, seen, mask in zip(
            self.kernels, weights, observed, self.held, strict=True
        ):
            scores = criterion.scores(kernel, values, seen)
            groups.append(granularity.rank(scores, mask, kernel.axes))
        if self._overall is None:
            chosen = self._choose(groups, reach)
        else:
            share = self._share(reach, self._overall, len(self.kernels))
            chosen = self._choose_globally(groups, share)
        return [
            granularity.expand(keep, kernel.variable.shape, kernel.axes)
            for keep, kernel in zip(chosen, self.kernels, strict=True)
        ]

    def _share(self, reach: Callable[[float], float], final: float, number: int) -> float:
        """The share that shall be gone, of one kernel or of all of them."""
        wanted, least = reach(final), min(self._least[number], final)
        if wanted >= least:
            self._least[number] = 0.0  # from now on the schedule may also let weights grow
        return max(wanted, least)

    def _choose(self, groups, reach) -> list[np.ndarray]:
        granularity, chosen = self._granularity, []
        for kernel, scores in zip(self.kernels, groups, strict=True):
            sparsity = self._share(reach, kernel.sparsity, kernel.number)
            sizes = granularity.sizes(kernel.variable.shape, kernel.axes)
            if np.ndim(sizes):
                drop = sparsity * np.sum(sizes)
                least = int(granularity.keeps_one)
                chosen.append(keep_highest_by_size(scores, sizes, drop, least))
            else:
                drop = granularity.drop_count(sparsity, kernel.sparsity, scores)
                chosen.append(keep_highest(scores, drop))
        return chosen

    def _choose_globally(self, groups, sparsity) -> list[np.ndarray]:
        granularity = self._granularity
        if granularity.keeps_one:
            for scores in groups:
                scores.ravel()[np.argmax(scores)] = np.inf
        flat = np.concatenate([scores.ravel() for scores in groups])
        sizes = [
            np.broadcast_to(granularity.sizes(k.variable.shape, k.axes), scores.shape).ravel()
            for k, scores in zip(self.kernels, groups, strict=True)
        ]
        if all(np.all(size == 1) for size in sizes):
            keep = keep_highest(flat, round(sparsity * flat.size))
        else:
            every = np.concatenate(sizes)
            keep = keep_highest_by_size(flat, every, sparsity * np.sum(every))
        ends = np.cumsum([scores.size for scores in groups])[:-1]
        parts = np.split(keep, ends)
        return [part.reshape(s.shape) for part, s in zip(parts, groups, strict=True)]


def _count_gone(masks: Sequence[np.ndarray]) -> np.ndarray:
    return np.array([mask.size - int(np.count_nonzero(mask)) for mask in masks])

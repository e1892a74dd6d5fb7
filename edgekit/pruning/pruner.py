"""What to prune, by what unit, by what measure: the choices that pruning callbacks share."""

from collections.abc import Callable, Mapping, Sequence
from numbers import Real

import keras
import numpy as np

from edgekit.core.kernel_axes import kernel_axes
from edgekit.core.kernels import select_kernels
from edgekit.core.neighbours import first_layers, last_layers
from edgekit.core.selection import layer_path, select_layers, value_per_layer
from edgekit.core.together import Together
from edgekit.pruning.allocation import ALLOCATIONS
from edgekit.pruning.companions import Companions
from edgekit.pruning.criteria import Magnitude, as_criterion
from edgekit.pruning.granularities import NM, Channel, Filter, Layer, Weight, as_granularity
from edgekit.pruning.held_masks import HeldMasks
from edgekit.pruning.masks import keep_highest, keep_highest_by_size
from edgekit.pruning.pruned_kernel import PrunedKernel
from edgekit.pruning.small_steps import SmallSteps
from edgekit.pruning.watches import Watch


class Pruner:
    """The choices, checked; `bind` applies them to a model.

    Args:
        sparsity: Share of weights to prune, `{regex: share}`, or None with an (n, m) pattern.
        granularity: See `ek.GradualPruning`.
        criterion: See `ek.GradualPruning`.
        scope: `"layer"`, `"erk"` or `"global"`.
        layers: Which layers.
        protect: Which layers not.

    Raises:
        TypeError: A choice of the wrong kind.
        ValueError: A choice out of range, or two that exclude each other.
    """

    def __init__(self, sparsity, granularity, criterion, scope, layers, protect):
        self.granularity = as_granularity(granularity)
        self.criterion = as_criterion(criterion)
        self.sparsity = self._checked_sparsity(sparsity)
        if scope not in ("global", *ALLOCATIONS):
            raise ValueError(
                f"`scope` must be 'layer', 'erk' or 'global'. Received: scope={scope!r}"
            )
        named = isinstance(sparsity, Mapping)
        if named and scope != "layer":
            raise ValueError(
                f"`scope={scope!r}` takes one sparsity for all layers; use scope='layer' with "
                f"{{regex: sparsity}}. Received: sparsity={sparsity!r}"
            )
        if named and layers is not None:
            raise ValueError(
                "`sparsity` as {regex: share} names the layers itself: leave `layers` out"
            )
        if isinstance(self.granularity, NM) and scope != "layer":
            raise ValueError(
                "an (n, m) pattern holds in every kernel: use scope='layer'. "
                f"Received: scope={scope!r}"
            )
        if isinstance(self.granularity, Layer) and scope != "global":
            raise ValueError(
                "`granularity='layer'` chooses among layers: use scope='global'. "
                f"Received: scope={scope!r}"
            )
        self.scope = scope
        self.layers = list(sparsity) if named else layers
        self.protect = protect

    def bind(self, model: keras.Model) -> "BoundPruner":
        """The choices for one model.

        Raises:
            ValueError: Nothing is left to prune.
        """
        selected = select_kernels(model, self.layers, depthwise=False)
        spared = set(select_layers(selected, self.protect)) if self.protect is not None else set()
        if self.layers is None:
            spared |= self._spared_ends(model, set(selected))
        selected = {layer: kernels for layer, kernels in selected.items() if layer not in spared}
        if not selected:
            raise ValueError(
                "nothing is left to prune: all layers with a kernel are protected "
                f"({', '.join(layer_path(layer) for layer in spared)}); name some in `layers`"
            )
        pairs = [(layer, kernel) for layer, kernels in selected.items() for kernel in kernels]
        if isinstance(self.sparsity, Mapping):
            value = value_per_layer(selected, self.sparsity, "sparsity")
            shares = [value[layer] for layer, _ in pairs]
        else:
            shapes = [tuple(kernel.shape) for _, kernel in pairs]
            shares = ALLOCATIONS.get(self.scope, ALLOCATIONS["layer"])(shapes, self.sparsity)
        kernels = [
            PrunedKernel(layer, kernel, kernel_axes(layer, kernel), share, number)
            for number, ((layer, kernel), share) in enumerate(zip(pairs, shares, strict=True))
        ]
        return BoundPruner(self, model, kernels)

    def _spared_ends(self, model, candidates) -> set:
        # The classes of a classifier and the colours of an image are no channels to spare.
        if isinstance(self.granularity, Filter):
            return last_layers(model, candidates)
        if isinstance(self.granularity, Channel):
            return first_layers(model, candidates)
        return set()

    def _checked_sparsity(self, sparsity):
        pattern = self.granularity if isinstance(self.granularity, NM) else None
        if sparsity is None:
            if pattern is None:
                raise TypeError("`sparsity` is missing: a number from 0 to below 1, such as 0.8")
            return pattern.sparsity
        for value in sparsity.values() if isinstance(sparsity, Mapping) else [sparsity]:
            _check_share(value)
            if pattern and value < pattern.sparsity - 1e-9:
                raise ValueError(
                    f"a pattern of {pattern.n}:{pattern.m} makes {pattern.sparsity:g} of the "
                    f"weights zero: `sparsity` cannot be less. Received: sparsity={value}; leave "
                    "it out"
                )
        return sparsity


class BoundPruner:
    """Makes masks for the kernels of one model.

    Args:
        pruner: The choices.
        model: The model.
        kernels: Those to prune.
    """

    def __init__(self, pruner: Pruner, model: keras.Model, kernels: Sequence[PrunedKernel]):
        self.kernels = list(kernels)
        self.variables = [kernel.variable for kernel in kernels]
        filters = isinstance(pruner.granularity, Filter)
        self.companions = Companions(model, kernels if filters else [])
        self.watch: Watch | None = None
        self._pruner, self._model = pruner, model
        self._values = Together(model, self.variables)
        self._sizes = np.array([int(np.prod(v.shape)) for v in self.variables])
        self._gone = np.zeros(len(self.variables), int)

    def hold(self, masks: Sequence[np.ndarray] | None, fit: object) -> None:
        """Hold the kernels at zero where the masks are False, through the fit to come.

        Args:
            masks: One per kernel; None for all True.
            fit: What tells this fit from others.

        Raises:
            ValueError: The criterion does not fit the model.
        """
        chosen = self._pruner
        self.watch = chosen.criterion.watch(self._model, self.kernels, chosen.granularity)
        if masks is None:
            masks = [np.ones(v.shape, dtype=bool) for v in self.variables]
        variables = self.variables + self.companions.variables
        self._held = HeldMasks(self._model, variables, masks + self.companions.masks(masks), fit)
        self._gone = _count_gone(masks)
        self._small_steps = SmallSteps(self._model, self.variables, self._held)

    @property
    def held(self) -> list[np.ndarray]:
        """The masks of the kernels, as they are held now."""
        return self._held.masks[: len(self.kernels)]

    def update(self, masks: Sequence[np.ndarray]) -> None:
        """Hold these masks from now on."""
        self._held.update(masks + self.companions.masks(masks))
        self._gone = _count_gone(masks)

    def prune(self, reach: Callable[[float], float]) -> None:
        """Prune today's weights; what is gone stays gone unless sparsity falls.

        Args:
            reach: Gives today's sparsity for a final one.
        """
        if self._smallest_go:
            wanted = [
                round(reach(kernel.sparsity) * size)
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

    def release(self) -> None:
        """Let the kernels go and observe no more; the zeros stay."""
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

    def weights(self) -> list[np.ndarray]:
        """The kernels' values, in float32."""
        return self._values.read()

    @property
    def _smallest_go(self) -> bool:
        chosen = self._pruner
        single = isinstance(chosen.granularity, Weight) and isinstance(chosen.criterion, Magnitude)
        return single and chosen.scope != "global"

    def _masks(self, reach) -> list[np.ndarray]:
        criterion, granularity = self._pruner.criterion, self._pruner.granularity
        weights = self.weights()
        observed = self.watch.read() if self.watch else [None] * len(weights)
        groups = []
        for kernel, values, seen, mask in zip(
            self.kernels, weights, observed, self.held, strict=True
        ):
            scores = criterion.scores(kernel, values, seen)
            groups.append(granularity.rank(scores, mask, kernel.axes))
        if self._pruner.scope == "global":
            chosen = self._choose_globally(groups, reach(self._pruner.sparsity))
        else:
            chosen = self._choose(groups, reach)
        return [
            granularity.expand(keep, kernel.variable.shape, kernel.axes)
            for keep, kernel in zip(chosen, self.kernels, strict=True)
        ]

    def _choose(self, groups, reach) -> list[np.ndarray]:
        granularity, chosen = self._pruner.granularity, []
        for kernel, scores in zip(self.kernels, groups, strict=True):
            sparsity = reach(kernel.sparsity)
            sizes = granularity.sizes(kernel.variable.shape, kernel.axes)
            if np.ndim(sizes):
                drop = sparsity * np.sum(sizes)
                chosen.append(keep_highest_by_size(scores, sizes, drop))
            else:
                drop = granularity.drop_count(sparsity, kernel.sparsity, scores)
                chosen.append(keep_highest(scores, drop))
        return chosen

    def _choose_globally(self, groups, sparsity) -> list[np.ndarray]:
        granularity = self._pruner.granularity
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


def _check_share(value: float) -> None:
    if isinstance(value, bool) or not isinstance(value, Real):
        raise TypeError(f"`sparsity` must be a number from 0 to below 1. Received: {value!r}")
    if not 0 <= value < 1:
        hint = f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""
        raise ValueError(f"`sparsity` must be from 0 to below 1. Received: {value}{hint}")

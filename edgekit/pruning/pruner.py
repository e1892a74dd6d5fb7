"""What to prune, by what unit, by what measure: the choices that pruning callbacks share."""

from collections.abc import Callable, Mapping

import keras
import numpy as np

from edgekit.core.arguments import is_number
from edgekit.core.kernel_axes import kernel_axes
from edgekit.core.kernels import select_kernels
from edgekit.core.low_rank import warn_of_adapted
from edgekit.core.neighbours import first_layers, last_layers
from edgekit.core.selection import LayerFilter, layer_path, select_layers, value_per_layer
from edgekit.pruning.allocation import ALLOCATIONS
from edgekit.pruning.bound_pruner import BoundPruner
from edgekit.pruning.criteria import Criterion, as_criterion
from edgekit.pruning.granularities import NM, Channel, Filter, Granularity, Layer, as_granularity
from edgekit.pruning.pruned_kernel import PrunedKernel


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

    def __init__(
        self,
        sparsity: float | Mapping[str, float] | None,
        granularity: str | tuple[int, int] | Granularity = "weight",
        criterion: str | Callable[[np.ndarray], np.ndarray] | Criterion = "magnitude",
        scope: str = "layer",
        layers: LayerFilter = None,
        protect: LayerFilter = None,
    ):
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

    def bind(self, model: keras.Model) -> BoundPruner:
        """The choices for one model.

        Raises:
            ValueError: Nothing is left to prune.
        """
        argument = "sparsity" if isinstance(self.sparsity, Mapping) else "layers"
        warn_of_adapted("Pruning", model, self.layers)
        selected = select_kernels(model, self.layers, depthwise=False, argument=argument)
        spared = self._protected(selected)
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
        share = self.sparsity if self.scope == "global" else None
        return BoundPruner(model, kernels, self.granularity, self.criterion, share)

    def _protected(self, selected) -> set:
        if self.protect is None:
            return set()
        return set(select_layers(selected, self.protect, argument="protect"))

    def _spared_ends(self, model, candidates) -> set:
        # The classes of a classifier and the colours of an image are no channels to spare.
        if isinstance(self.granularity, Filter):
            return last_layers(model, candidates)
        if isinstance(self.granularity, Channel):
            return first_layers(model, candidates)
        if isinstance(self.granularity, Layer):
            return first_layers(model, candidates) | last_layers(model, candidates)
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


def _check_share(value: float) -> None:
    if not is_number(value):
        raise TypeError(f"`sparsity` must be a number from 0 to below 1. Received: {value!r}")
    if not 0 <= value < 1:
        hint = f"; did you mean {value / 100:g}?" if 1 < value < 100 else ""
        raise ValueError(f"`sparsity` must be from 0 to below 1. Received: {value}{hint}")

"""Which weights matter least: a score per weight, of which the lowest go.

A criterion that takes more than the weights observes the train steps through a watch.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import keras
import numpy as np

from edgekit.core.arguments import check_whole, is_whole
from edgekit.core.gradient_watch import GradientWatch
from edgekit.core.kernel_layout import has_kernel
from edgekit.core.neighbours import batchnorm_after, batchnorm_before
from edgekit.core.selection import layer_path
from edgekit.pruning.granularities import Channel, Filter, Granularity
from edgekit.pruning.pruned_kernel import PrunedKernel
from edgekit.pruning.watches import InputWatch, ScaleWatch, Watch


class Criterion:
    """Scores weights. A subclass gives `scores`, and `watch` if weights are not enough.

    Example:
        >>> class Squared(ek.criteria.Criterion):
        ...     def scores(self, kernel, weights, observed):
        ...         return weights**2
        >>> ek.GradualPruning(0.8, criterion=Squared())
    """

    # Whether there is nothing to go by until a step has been trained.
    needs_steps = False

    def scores(
        self, kernel: PrunedKernel, weights: np.ndarray, observed: np.ndarray | None
    ) -> np.ndarray:
        """A score for each weight, of the weights' shape.

        Args:
            kernel: Which kernel it is.
            weights: Its values.
            observed: What the watch has seen of it; None without one.
        """
        raise NotImplementedError(f"{type(self).__name__} must score weights")

    def watch(
        self, model: keras.Model, kernels: Sequence[PrunedKernel], granularity: Granularity
    ) -> Watch | None:
        """What observes the training. Defaults to `None`: the weights are enough."""
        return None


@dataclass(frozen=True)
class Magnitude(Criterion):
    """Size: `|w|`, or its square; of a group their mean.

    Example:
        >>> ek.GradualPruning(0.5, granularity="filter", criterion=ek.criteria.Magnitude(2))

    Args:
        norm: 1 or 2. For single weights both rank alike. Defaults to `1`.

    Source: Han et al. 2015, arXiv 1506.02626; for filters Li et al. 2016, arXiv 1608.08710.
    """

    norm: int = 1

    def __post_init__(self):
        if not is_whole(self.norm) or self.norm not in (1, 2):
            raise ValueError(f"`norm` must be 1 or 2. Received: norm={self.norm!r}")

    def scores(self, kernel, weights, observed):
        """Sizes."""
        return np.abs(weights) if self.norm == 1 else np.square(weights)


class Movement(Criterion):
    """Movement away from zero: minus weight times gradient, summed over the training.

    For fine-tuning of pretrained nets: what the new task pushes to zero goes, however large.

    Source: Sanh et al. 2020, "Movement Pruning", arXiv 2005.07683.
    """

    needs_steps = True

    def scores(self, kernel, weights, observed):
        """The sums."""
        return observed

    def watch(self, model, kernels, granularity):
        """The optimizer's gradients."""
        return GradientWatch(model, [k.variable for k in kernels], lambda w, g: -w * g)


class Taylor(Criterion):
    """What the loss would change by, to first order: (weight × gradient)², summed over steps.

    Source: Molchanov et al. 2019, "Importance Estimation for Neural Network Pruning", arXiv
    1906.10771.
    """

    needs_steps = True

    def scores(self, kernel, weights, observed):
        """The sums."""
        return observed

    def watch(self, model, kernels, granularity):
        """The optimizer's gradients."""
        return GradientWatch(model, [k.variable for k in kernels], lambda w, g: (w * g) ** 2)


@dataclass(frozen=True)
class Random(Criterion):
    """Chance: what every other criterion has to beat.

    Args:
        seed: The same seed takes the same weights. Defaults to `0`.
    """

    seed: int = 0

    def __post_init__(self):
        check_whole("seed", self.seed, least=0)

    def scores(self, kernel, weights, observed):
        """The same numbers at each update, so that what is gone stays gone."""
        return np.random.default_rng([self.seed, kernel.number]).random(weights.shape, "float32")


class Wanda(Criterion):
    """Size times the norm of the input it is multiplied with.

    Source: Sun et al. 2023, "A Simple and Effective Pruning Approach for Large Language Models",
    arXiv 2306.11695, which ranks within each output; here all weights of a kernel rank together.
    """

    needs_steps = True

    def scores(self, kernel, weights, observed):
        """`|w| · ‖x‖`."""
        return np.abs(weights) * observed

    def watch(self, model, kernels, granularity):
        """The inputs of the layers."""
        for kernel in kernels:
            if not has_kernel(kernel.layer) and not isinstance(
                kernel.layer, keras.layers.EinsumDense
            ):
                raise ValueError(
                    f"`criterion='wanda'` does not know the inputs of {layer_path(kernel.layer)} "
                    f"({type(kernel.layer).__name__}): name it in `protect`"
                )
        return InputWatch(model, [(k.layer, k.variable, k.axes) for k in kernels])


class GeometricMedian(Criterion):
    """Filters: the summed distance to all others; who is near the middle can be spared.

    Source: He et al. 2019, "Filter Pruning via Geometric Median", arXiv 1811.00250.
    """

    def scores(self, kernel, weights, observed):
        """Each filter's sum, for all its weights."""
        from scipy.spatial.distance import cdist

        outputs = kernel.axes.outputs
        count = int(np.prod([weights.shape[axis] for axis in outputs]))
        filters = np.moveaxis(weights, outputs, range(len(outputs))).reshape(count, -1)
        shape = [weights.shape[a] if a in outputs else 1 for a in range(weights.ndim)]
        return np.broadcast_to(cdist(filters, filters).sum(axis=1).reshape(shape), weights.shape)

    def watch(self, model, kernels, granularity):
        """Nothing, once it is clear that filters are asked for."""
        if not isinstance(granularity, Filter):
            raise ValueError(
                "`criterion='geometric_median'` compares filters: use granularity='filter'"
            )


class BatchNormScale(Criterion):
    """The scale that BatchNormalization gives a channel.

    A filter is judged by the BatchNormalization after its layer, an input channel by the one
    before. Train with an L1 penalty on gamma to part the channels.

    Source: Liu et al. 2017, "Learning Efficient Convolutional Networks through Network Slimming",
    arXiv 1708.06519.
    """

    def scores(self, kernel, weights, observed):
        """`|gamma|`."""
        return np.broadcast_to(observed, weights.shape)

    def watch(self, model, kernels, granularity):
        """The gammas of the model."""
        if isinstance(granularity, Filter):
            neighbours, side, place = batchnorm_after(model), "outputs", "after"
        elif isinstance(granularity, Channel):
            neighbours, side, place = batchnorm_before(model), "inputs", "before"
        else:
            raise ValueError(
                "`criterion='batchnorm_scale'` judges channels: use granularity='filter' or "
                "'channel'"
            )
        scales = []
        for kernel in kernels:
            batchnorm = neighbours.get(kernel.layer)
            if batchnorm is None or not batchnorm.scale:
                raise ValueError(
                    f"`criterion='batchnorm_scale'` finds no BatchNormalization with a gamma "
                    f"{place} {layer_path(kernel.layer)}: name the layer in `protect`"
                )
            channels = getattr(kernel.axes, side) or kernel.axes.outputs
            rank = len(kernel.variable.shape)
            shape = [kernel.variable.shape[a] if a in channels else 1 for a in range(rank)]
            scales.append((batchnorm.gamma, shape))
        return ScaleWatch(scales)


@dataclass(frozen=True)
class Custom(Criterion):
    """A function of the weights.

    Args:
        function: Takes a kernel's weights, gives a score for each.

    Raises:
        ValueError: At the first update, when it gives something else.
    """

    function: Callable[[np.ndarray], np.ndarray]

    def scores(self, kernel, weights, observed):
        """What the function gives."""
        scores = np.asarray(self.function(weights))
        if scores.shape != weights.shape or not np.issubdtype(scores.dtype, np.number):
            raise ValueError(
                f"`criterion` must give a number for each weight of {layer_path(kernel.layer)}, "
                f"an array of shape {weights.shape}. Received: shape {scores.shape}, "
                f"dtype {scores.dtype}"
            )
        if np.isnan(scores).any():
            raise ValueError(
                f"`criterion` gives NaN for weights of {layer_path(kernel.layer)}: it must give "
                "each a number"
            )
        return scores.astype("float64", copy=False)


_NAMED = {
    "magnitude": Magnitude(1),
    "l1": Magnitude(1),
    "l2": Magnitude(2),
    "movement": Movement(),
    "taylor": Taylor(),
    "random": Random(),
    "wanda": Wanda(),
    "geometric_median": GeometricMedian(),
    "batchnorm_scale": BatchNormScale(),
}


def as_criterion(value: str | Criterion | Callable[[np.ndarray], np.ndarray]) -> Criterion:
    """The criterion that a user means.

    Raises:
        ValueError: An unknown name.
        TypeError: Neither name nor criterion nor function.
    """
    if isinstance(value, Criterion):
        return value
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]
    if callable(value) and not isinstance(value, type):
        return Custom(value)
    error = ValueError if isinstance(value, str) else TypeError
    raise error(
        f"`criterion` must be one of {', '.join(map(repr, _NAMED))}, an ek.criteria.Criterion, "
        f"or a function of the weights. Received: criterion={value!r}"
    )

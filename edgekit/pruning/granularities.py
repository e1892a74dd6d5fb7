"""What goes at once: single weights, rows, kernels, filters, channels, patterns, blocks, layers.

A granularity turns a score for each weight into one for each group, and a choice of groups into
a mask over weights.

Source: Mao et al. 2017, "Exploring the Granularity of Sparsity", arXiv 1705.08922.
"""

import math
from dataclasses import dataclass

import numpy as np

from edgekit.core.arguments import check_whole, is_whole
from edgekit.core.kernel_axes import KernelAxes
from edgekit.core.selection import layer_path
from edgekit.pruning.masks import drop_count
from edgekit.pruning.pruned_kernel import PrunedKernel


@dataclass(frozen=True)
class Granularity:
    """Groups of weights that stay or go together; this one: each weight alone."""

    # A layer that loses all its groups computes nothing: whether one has to stay.
    keeps_one = True

    def check(self, kernel: PrunedKernel) -> None:
        """Refuse a kernel that has no such groups.

        Raises:
            ValueError: It has none.
        """

    def members(self, axes: KernelAxes, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The axes along which the weights of one group lie."""
        return ()

    def reduce(self, scores: np.ndarray, axes: KernelAxes) -> np.ndarray:
        """A score per group: the mean of its weights'."""
        along = self.members(axes, scores.shape)
        return scores.mean(axis=along, keepdims=True) if along else scores

    def rank(self, scores: np.ndarray, held: np.ndarray, axes: KernelAxes) -> np.ndarray:
        """A score per group; groups that are gone come last of all.

        Args:
            scores: One per weight.
            held: The mask of now.
            axes: The kernel's axes.
        """
        groups = self.reduce(scores, axes)
        return np.where(self.reduce(held.astype("float32"), axes) > 0, groups, -np.inf)

    def sizes(self, shape: tuple[int, ...], axes: KernelAxes) -> np.ndarray | int:
        """Weights in a group: a number, or an array where groups differ."""
        return math.prod(shape[axis] for axis in self.members(axes, shape))

    def expand(self, groups: np.ndarray, shape: tuple[int, ...], axes: KernelAxes) -> np.ndarray:
        """The mask over weights that a choice of groups makes."""
        return np.broadcast_to(groups, shape)

    def drop_count(self, sparsity: float, final: float, groups: np.ndarray) -> int:
        """How many of the groups of one kernel go at `sparsity` on the way to `final`."""
        return drop_count(sparsity, groups.size, int(self.keeps_one))


class Weight(Granularity):
    """Each weight alone: unstructured pruning."""

    def rank(self, scores: np.ndarray, held: np.ndarray, axes: KernelAxes) -> np.ndarray:
        """The scores, those of what is gone last."""
        return np.where(held, scores, -np.inf)


@dataclass(frozen=True)
class Vector(Granularity):
    """A row or a column of a kernel.

    Of a convolution's kernel at one input and output channel: height × width. Of a pointwise or
    Dense one: inputs × outputs.

    Example:
        >>> ek.GradualPruning(0.5, granularity=ek.granularities.Vector("column"))

    Args:
        line: `"row"` or `"column"`. Defaults to `"row"`.

    Raises:
        ValueError: `line` is neither.
    """

    line: str = "row"

    def __post_init__(self):
        if self.line not in ("row", "column"):
            raise ValueError(f"`line` must be 'row' or 'column'. Received: line={self.line!r}")

    def members(self, axes: KernelAxes, shape: tuple[int, ...]) -> tuple[int, ...]:
        """A row runs along the columns' axis, and the other way round."""
        spatial = axes.spatial
        if math.prod(shape[axis] for axis in spatial) > 1:
            return (spatial[-1],) if self.line == "row" else (spatial[0],)
        return axes.outputs if self.line == "row" else axes.inputs


class Kernel(Granularity):
    """The positions between one input and one output channel; of a Dense kernel, one weight."""

    def members(self, axes: KernelAxes, shape: tuple[int, ...]) -> tuple[int, ...]:
        """All positions."""
        return axes.spatial


class Filter(Granularity):
    """Everything that makes one output channel."""

    def check(self, kernel: PrunedKernel) -> None:
        """A recurrent layer has no filters: a unit is spread over gates and two kernels."""
        if hasattr(kernel.layer, "recurrent_kernel"):
            raise ValueError(
                f"`granularity='filter'` does not know the units of {layer_path(kernel.layer)} "
                f"({type(kernel.layer).__name__}): name it in `protect`"
            )

    def members(self, axes: KernelAxes, shape: tuple[int, ...]) -> tuple[int, ...]:
        """All but the output channels."""
        return tuple(axis for axis in range(len(shape)) if axis not in axes.outputs)


class Channel(Granularity):
    """Everything that reads one input channel; of a depthwise kernel, the channel's filter."""

    def members(self, axes: KernelAxes, shape: tuple[int, ...]) -> tuple[int, ...]:
        """All but the input channels."""
        fixed = axes.inputs or axes.outputs
        return tuple(axis for axis in range(len(shape)) if axis not in fixed)


class Layer(Granularity):
    """Whole kernels, for nets with paths around their layers."""

    keeps_one = False

    def members(self, axes: KernelAxes, shape: tuple[int, ...]) -> tuple[int, ...]:
        """All axes."""
        return tuple(range(len(shape)))


@dataclass(frozen=True)
class Block(Granularity):
    """Tiles of the matrix inputs × outputs, at each position of a convolution by itself.

    Tiles at the edge are smaller where the matrix does not divide.

    Example:
        >>> ek.GradualPruning(0.8, granularity=ek.granularities.Block(1, 4))

    Args:
        height: Input channels in a tile, 1 or more.
        width: Output channels in a tile, 1 or more.

    Raises:
        ValueError: A side is not a whole number of at least 1.

    Source: Narang et al. 2017, "Block-Sparse Recurrent Neural Networks", arXiv 1711.02782.
    """

    height: int
    width: int

    def __post_init__(self):
        for name in ("height", "width"):
            check_whole(name, getattr(self, name))

    def reduce(self, scores: np.ndarray, axes: KernelAxes) -> np.ndarray:
        """A score per tile: the mean of its weights'."""
        return self._tile_sums(scores, axes) / self.sizes(scores.shape, axes)

    def sizes(self, shape: tuple[int, ...], axes: KernelAxes) -> np.ndarray:
        """Weights in each tile."""
        return self._tile_sums(np.ones(shape), axes)

    def expand(self, groups: np.ndarray, shape: tuple[int, ...], axes: KernelAxes) -> np.ndarray:
        """Each tile's choice for all its weights."""
        for axis, side in self._sides(axes):
            groups = np.repeat(groups, side, axis=axis).take(range(shape[axis]), axis=axis)
        return groups

    def _tile_sums(self, values: np.ndarray, axes: KernelAxes) -> np.ndarray:
        for axis, side in self._sides(axes):
            starts = np.arange(0, values.shape[axis], side)
            values = np.add.reduceat(values, starts, axis=axis)
        return values

    def _sides(self, axes: KernelAxes) -> list[tuple[int, int]]:
        # Of several axes (heads × units) the last is the one that lies together in memory.
        inputs = [(axes.inputs[-1], self.height)] if axes.inputs else []
        return [*inputs, (axes.outputs[-1], self.width)]


@dataclass(frozen=True)
class NM(Granularity):
    """At most `n` weights stay of each `m` neighbours along the input channels, as in 2:4.

    The pattern is reached step by step: the schedule decides how many of the weights that it will
    not keep are gone already.

    Example:
        >>> ek.GradualPruning(granularity=(2, 4))    # the same as granularity=NM(2, 4)

    Args:
        n: How many stay, 1 to m.
        m: Of how many, 2 or more.

    Raises:
        ValueError: `n` or `m` outside its range.

    Source: Zhou et al. 2021, "Learning N:M Fine-grained Structured Sparse Neural Networks From
    Scratch", arXiv 2102.04010.
    """

    n: int
    m: int

    def __post_init__(self):
        whole = is_whole(self.n) and is_whole(self.m)
        if not whole or self.m < 2 or not 1 <= self.n < self.m:
            raise ValueError(
                "an (n, m) pattern keeps n weights of each m, with 1 ≤ n < m. "
                f"Received: ({self.n!r}, {self.m!r})"
            )

    def check(self, kernel: PrunedKernel) -> None:
        """A depthwise kernel has no neighbouring input channels."""
        if not kernel.axes.inputs:
            raise ValueError(
                f"the kernel of {layer_path(kernel.layer)} is depthwise and has no neighbouring "
                f"input channels for {self.n}:{self.m}: leave it out"
            )

    @property
    def sparsity(self) -> float:
        """Share of weights that the pattern drops."""
        return 1 - self.n / self.m

    def rank(self, scores: np.ndarray, held: np.ndarray, axes: KernelAxes) -> np.ndarray:
        """Ranks in the kernel; below zero what the pattern drops."""
        scores = np.where(held, scores, -np.inf)
        order = np.empty(scores.size)
        order[np.argsort(scores, axis=None, kind="stable")] = np.arange(scores.size)
        ranks = order.reshape(scores.shape)
        return np.where(self._dropped(ranks, axes), ranks - scores.size, ranks)

    def drop_count(self, sparsity: float, final: float, groups: np.ndarray) -> int:
        """All that the pattern drops at the end, and more only where `final` asks for more."""
        pattern, wanted = int(np.sum(groups < 0)), round(sparsity * groups.size)
        if sparsity < self.sparsity - 1e-9:
            return min(wanted, pattern)
        return max(wanted, pattern) if final > self.sparsity + 1e-9 else pattern

    def _dropped(self, ranks: np.ndarray, axes: KernelAxes) -> np.ndarray:
        along = axes.inputs[-1]
        rows = np.moveaxis(ranks, along, -1)
        # A rest shorter than m keeps up to n too: places that do not exist rank lowest.
        missing = -rows.shape[-1] % self.m
        padding = [(0, 0)] * (rows.ndim - 1) + [(0, missing)]
        padded = np.pad(rows, padding, constant_values=-1)
        groups = padded.reshape(*padded.shape[:-1], -1, self.m)
        limit = np.sort(groups, axis=-1)[..., self.m - self.n, None]
        dropped = (groups < limit).reshape(padded.shape)[..., : rows.shape[-1]]
        return np.moveaxis(dropped, -1, along)


_NAMED = {
    "weight": Weight,
    "vector": Vector,
    "kernel": Kernel,
    "filter": Filter,
    "channel": Channel,
    "layer": Layer,
}


def as_granularity(value: str | tuple[int, int] | Granularity) -> Granularity:
    """The granularity that a user means.

    Raises:
        ValueError: An unknown name, or no `(n, m)` pattern.
        TypeError: Neither name nor pattern nor granularity.
    """
    if isinstance(value, Granularity):
        return value
    if isinstance(value, (tuple, list)) and len(value) == 2:
        return NM(*value)
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]()
    if value == "block":
        raise ValueError(
            "`granularity='block'` has no size: pass ek.granularities.Block(height, width)"
        )
    error = ValueError if isinstance(value, (str, tuple, list)) else TypeError
    raise error(
        f"`granularity` must be one of {', '.join(map(repr, _NAMED))}, an (n, m) pattern such as "
        "(2, 4), or ek.granularities.Block(height, width). "
        f"Received: granularity={value!r}"
    )

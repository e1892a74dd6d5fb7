"""Where the classes of a softmax run in an output."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from keras import ops

# `(size, whether classes run along it)`; None for an open size.
Factor = tuple[int | None, bool]


@dataclass(frozen=True)
class ClassAxes:
    """The axes of an output, each a product of factors, some of which are classes.

    Example:
        >>> ClassAxes.along(1, (None, 3, 8))          # `(batch, classes, steps)`
        >>> axes = ClassAxes((((None, False),), ((8, False), (3, True))))
        >>> axes.last(np.zeros((2, 24))).shape
        (2, 8, 3)

    Args:
        factors: For each axis its factors, the slowest first.
    """

    factors: tuple[tuple[Factor, ...], ...]

    @classmethod
    def along(cls, axis: int, shape: Sequence[int | None]) -> "ClassAxes":
        """Classes along one axis of such a shape."""
        axis %= len(shape)
        return cls(tuple(((size, number == axis),) for number, size in enumerate(shape)))

    @property
    def count(self) -> int | None:
        """How many classes; None if that is open."""
        sizes = [size for factor in self.factors for size, classes in factor if classes]
        return None if None in sizes else math.prod(sizes)

    @property
    def plain(self) -> bool:
        """Whether classes are the last axis, and nothing else is."""
        flags = [tuple(classes for _, classes in factors) for factors in self.factors]
        return flags[-1:] == [(True,)] and not any(map(any, flags[:-1]))

    def last(self, values: Any) -> Any:
        """Values of the output's shape as `(batch, …, classes)`."""
        if self.plain:
            return values
        sizes, order, others = self._sizes(values), *self._order()
        taken = ops.transpose(ops.reshape(values, sizes), order)
        count = -1 if self.count is None else self.count
        return ops.reshape(taken, (*(sizes[place] for place in others), count))

    def back(self, values: Any, like: Any) -> Any:
        """The inverse of `last`.

        Args:
            values: `(batch, …, classes)`.
            like: A tensor of the output's shape.
        """
        if self.plain:
            return values
        sizes, (order, _) = self._sizes(like), self._order()
        apart = ops.reshape(values, [sizes[place] for place in order])
        return ops.reshape(ops.transpose(apart, list(np.argsort(order))), ops.shape(like))

    def transposed(self, order: Sequence[int]) -> "ClassAxes":
        """With the axes in another order."""
        return ClassAxes(tuple(self.factors[place] for place in order))

    def reshaped(self, shape: Sequence[int | None]) -> "ClassAxes | None":
        """In another shape of as many values; None where the classes cannot be followed there."""
        return _reshaped([f for factors in self.factors for f in factors if f[0] != 1], shape)

    def same_as(self, other: "ClassAxes") -> bool:
        """Whether classes run alike, as far as sizes are known."""
        flags = [[[c for _, c in factors] for factors in axes.factors] for axes in (self, other)]
        pairs = zip(_inner_sizes(self), _inner_sizes(other), strict=False)
        return flags[0] == flags[1] and all(a == b or None in (a, b) for a, b in pairs)

    def _order(self) -> tuple[list[int], list[int]]:
        """`(all factors, the classes last; the places of the others)`."""
        flags = [classes for factors in self.factors for _, classes in factors]
        others = [place for place, classes in enumerate(flags) if not classes]
        return others + [place for place, classes in enumerate(flags) if classes], others

    def _sizes(self, values) -> list:
        """The size of each factor, as they are in these values."""
        found = []
        for axis, (whole, factors) in enumerate(zip(ops.shape(values), self.factors, strict=True)):
            known = math.prod(size for size, _ in factors if size is not None)
            opened = [place for place, (size, _) in enumerate(factors) if size is None]
            if len(opened) > 1:
                raise ValueError(f"axis {axis} has several open sizes: {factors}")
            found += [whole // known if size is None else size for size, _ in factors]
            if len(factors) == 1:
                found[-1] = whole
        return found


def joined(parts: Sequence[ClassAxes], axis: int) -> ClassAxes | None:
    """Of outputs that are concatenated; None where classes would be in several softmaxes.

    Args:
        parts: Of each of them.
        axis: Along which they are put together.
    """
    axis %= len(parts[0].factors)
    for one, other in pairwise(parts):
        rest = [
            ClassAxes((*axes.factors[:axis], *axes.factors[axis + 1 :])) for axes in (one, other)
        ]
        if not rest[0].same_as(rest[1]):
            return None
    split = [_outer_and_classes(axes.factors[axis]) for axes in parts]
    if None in split or len({classes for _, classes in split}) > 1:
        return None
    outer = [size for size, _ in split]
    whole: tuple[Factor, ...] = ((None if None in outer else sum(outer), False), *split[0][1])
    return ClassAxes((*parts[0].factors[:axis], whole, *parts[0].factors[axis + 1 :]))


def _outer_and_classes(factors) -> tuple[int | None, tuple[Factor, ...]] | None:
    """`(how often, the classes behind)` of one axis; None where they are the other way round."""
    count = sum(not classes for _, classes in factors)
    if any(classes for _, classes in factors[:count]):
        return None
    sizes = [size for size, _ in factors[:count]]
    return None if None in sizes else math.prod(sizes), tuple(factors[count:])


def _inner_sizes(axes: ClassAxes) -> list[int | None]:
    """Sizes that say how an axis is divided: of classes, and of all factors but the outermost."""
    return [
        size
        for factors in axes.factors
        for number, (size, classes) in enumerate(factors)
        if classes or number
    ]


def _reshaped(factors: list[Factor], shape: Sequence[int | None]) -> ClassAxes | None:
    """The factors dealt out to the axes of a shape: from the right, then what is open."""
    factors, axes = list(factors), list(shape)
    right: list[tuple[Factor, ...]] = []
    while axes and axes[-1] is not None:
        taken = _take(factors, axes[-1])
        if taken is None:
            break
        right.insert(0, taken)
        axes.pop()
    left: list[tuple[Factor, ...]] = []
    while len(axes) > 1 and factors and axes[0] == factors[0][0]:
        left.append((factors.pop(0),))
        axes.pop(0)
    if not any(classes for _, classes in factors):
        middle = [((size, False),) for size in axes]
    elif len(axes) == 1:
        middle = [_merged(factors)]
    else:
        return None
    if not axes and factors:
        return None
    return ClassAxes((*left, *middle, *right))


def _take(factors: list[Factor], size: int) -> tuple[Factor, ...] | None:
    """Factors from the right that make up a size, taken off the list; the last may be divided."""
    taken: list[Factor] = []
    rest, kept = size, list(factors)
    while rest > 1:
        if not kept or kept[-1][0] is None:
            return None
        last, classes = kept.pop()
        if rest % last == 0:
            taken.insert(0, (last, classes))
            rest //= last
        elif last % rest == 0:
            taken.insert(0, (rest, classes))
            kept.append((last // rest, classes))
            rest = 1
        else:
            return None
    factors[:] = kept
    return _merged(taken) or ((1, False),)


def _merged(factors: Sequence[Factor]) -> tuple[Factor, ...]:
    """Neighbors of one kind as one factor."""
    found: list[Factor] = []
    for size, classes in factors:
        if found and found[-1][1] == classes:
            whole = None if None in (size, found[-1][0]) else size * found[-1][0]
            found[-1] = whole, classes
        else:
            found.append((size, classes))
    return tuple(found)

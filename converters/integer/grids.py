"""Integer grids: of a rounded tensor, and of weights, found again from their values."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

# Float32 arithmetic leaves a value this far from its grid point at most, in steps.
_ON_GRID = 5e-4
# XNNPACK refuses to load kernels whose products are 256 steps of the output or more. At this
# ratio one product already takes any output to an end of int8, as at every larger one.
_SATURATING = 255.5
# A tensor that is always zero still needs a step. LiteRT counts RELU6's 6 in it, in int32, and
# its reference SOFTMAX and LOG_SOFTMAX abort at inputs in steps of 2^-26 or less.
_SMALLEST_STEP = 2.0**-25
# XNNPACK takes no scale that float32 holds with fewer bits than 24: weights so small are zero.
_SMALLEST_SCALE = 2.0**-120
# What LiteRT requires to be below 1 must not round to it.
_BELOW_ONE = 1 - 2.0**-20
# So many values are looked at together.
_PART = 2**18


@dataclass(frozen=True)
class Grid:
    """`value = scale * (integer - zero_point)` for integers of `dtype`.

    Args:
        dtype: `"int8"` or `"int16"`.
        scale: Size of a step.
        zero_point: The integer that stands for zero; always 0 for int16.
    """

    dtype: str
    scale: float
    zero_point: int = 0

    @property
    def bits(self) -> int:
        """Width of the integers."""
        return int(self.dtype.removeprefix("int"))

    @property
    def limits(self) -> tuple[int, int]:
        """Smallest and largest integer."""
        return -(2 ** (self.bits - 1)), 2 ** (self.bits - 1) - 1

    def widened(self) -> "Grid":
        """The int16 grid that holds every value of this one exactly, or this one if it is int16."""
        return self if self.dtype == "int16" else Grid("int16", self.scale)

    def covering(self) -> "Grid":
        """An int16 grid over the range of this one."""
        low, high = ((limit - self.zero_point) * self.scale for limit in self.limits)
        return Grid("int16", float(np.float32(max(-low, high) / 32767)))

    def at_least(self, scale: float) -> "Grid":
        """This grid with steps above `scale`, or itself if it has such."""
        if self.scale * _BELOW_ONE > scale:
            return self
        return replace(self, scale=float(np.float32(scale / _BELOW_ONE**2)))

    def integers(self, values: np.ndarray) -> np.ndarray:
        """The nearest integers of the grid."""
        found = np.round(np.asarray(values, "float64") / self.scale) + self.zero_point
        return np.clip(found, *self.limits).astype(self.dtype)


def range_grid(low: float, high: float, dtype: str, symmetric: bool = False) -> Grid:
    """The grid over a range, with zero on it.

    Args:
        low: Smallest value.
        high: Largest value.
        dtype: `"int8"` or `"int16"`; the latter is always symmetric.
        symmetric: Whether zero is the middle of the integers. Defaults to `False`.
    """
    low, high = min(low, 0.0), max(high, 0.0)
    if dtype == "int16" or symmetric:
        steps = 32767 if dtype == "int16" else 127
        return Grid(dtype, float(np.float32(max(-low, high, _SMALLEST_STEP * steps) / steps)))
    scale = np.float32(max(high - low, _SMALLEST_STEP * 255) / 255)
    return Grid(dtype, float(scale), int(np.clip(np.round(-128 - low / scale), -128, 127)))


@dataclass(frozen=True)
class WeightGrid:
    """Symmetric grids of a constant: one scale, or one per channel.

    Args:
        largest: Largest magnitude, `(1,)` or `(channels,)`.
        steps: The fewest steps from zero to it that put every value on a step.
        axis: The channel axis; None for one scale.
        exact: Whether the values lie on the grid; otherwise they have to be rounded to it.
    """

    largest: np.ndarray
    steps: np.ndarray
    axis: int | None
    exact: bool

    def fits(self, bits: int) -> bool:
        """Whether integers of so many bits hold the values exactly."""
        return self.exact and self.steps.max() < 2 ** (bits - 1)

    def scales(self, bits: int, smallest: np.ndarray | float = 0.0) -> np.ndarray:
        """The finest scales that integers of so many bits allow, float32.

        Args:
            bits: Width of the integers.
            smallest: Scales are kept at this or above; values too small for it round to zero.
        """
        smallest = np.maximum(smallest, _SMALLEST_SCALE)
        coarsest = self.largest.astype("float64") / self.steps
        positive = coarsest[coarsest > _SMALLEST_SCALE]
        # A channel of zeros is on every grid; its bias needs a fine one, as some neighbour has.
        neighbours = positive.min() if len(positive) else 1.0
        zero = coarsest <= _SMALLEST_SCALE
        coarsest = np.where(zero, np.maximum(neighbours, smallest), coarsest)
        finer = np.floor(coarsest / smallest)
        finer = np.clip(finer, 1, (2 ** (bits - 1) - 1) // self.steps)
        return np.maximum(coarsest / finer, smallest).astype("float32")

    def integers(self, values: np.ndarray, scales: np.ndarray) -> np.ndarray:
        """The constant as int8, for the scales of `scales`."""
        shape = [1] * max(values.ndim, 1)
        if self.axis is not None:
            shape[self.axis] = -1
        rows = np.atleast_1d(values)
        scales = np.broadcast_to(scales.reshape(shape).astype("float64"), rows.shape)
        found = np.empty(rows.shape, "int8")
        for part in _parts(rows):
            found[part] = np.clip(np.round(rows[part] / scales[part]), -127, 127)
        return found.reshape(values.shape)


def loadable_scales(scales: np.ndarray, input_scale: float, output: Grid) -> np.ndarray:
    """A kernel's scales, lower where XNNPACK would refuse the file; the op's outputs are the same.

    Only for kernels and biases whose integers stay those of the scales given. Such scales come
    from nets that have hardly been trained, whose ranges are far from what they compute.

    Args:
        scales: Of the kernel, float32.
        input_scale: Of the op's input.
        output: The op's output.

    Source: XNNPACK, src/operators/convolution-nhwc.c and fully-connected-nc.c.
    """
    if output.dtype != "int8":
        return scales
    highest = np.float32(_SATURATING * output.scale / input_scale)
    return np.minimum(scales, highest)


def weight_grid(values: np.ndarray, axis: int | None) -> WeightGrid:
    """The symmetric grid that holds the values: one scale if it can, else one per channel.

    Args:
        values: A float constant.
        axis: Its channel axis, or None where only one scale is allowed.

    Returns:
        The grid. Where there is none with at most 127 steps, the one that reaches the largest
        value, to which the values then have to be rounded.
    """
    steps = _steps(values)
    if steps is not None or axis is None:
        largest = np.maximum(values.max(initial=0.0), -values.min(initial=0.0)).reshape(1)
        return WeightGrid(largest, np.array([steps or 127]), None, steps is not None)
    channels = np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)
    largest = np.maximum(channels.max(axis=1, initial=0.0), -channels.min(axis=1, initial=0.0))
    counts = None if _steps(channels[0]) is None else _steps_of_channels(channels)
    if counts is None:  # no grid holds them all
        return WeightGrid(largest, np.full(len(largest), 127), axis, False)
    return WeightGrid(largest, counts, axis, True)


def rounded_weight_grid(values: np.ndarray, axis: int | None, bits: int) -> WeightGrid:
    """The symmetric grid of so many bits that reaches each channel's largest weight.

    Weights that lie on such a grid already, as after adaptive rounding, keep theirs.
    """
    found = weight_grid(values, axis)
    if found.fits(bits):
        return found
    others = None if axis is None else tuple(a for a in range(values.ndim) if a != axis)
    largest = np.abs(values).max(axis=others, initial=0.0).reshape(-1)
    steps = np.full(len(largest), 2 ** (bits - 1) - 1)
    return WeightGrid(largest, steps, axis, True)


def constant_grid(values: np.ndarray, dtype: str) -> Grid:
    """The grid of a constant that takes part in arithmetic: symmetric if it is on such a one."""
    found = weight_grid(values, None)
    bits = int(dtype.removeprefix("int"))
    if found.exact or dtype == "int16":
        largest, steps = float(found.largest[0]), int(found.steps[0]) if found.exact else 32767
        return Grid(
            dtype, float(np.float32((largest or 1.0) / steps / ((2 ** (bits - 1) - 1) // steps)))
        )
    return range_grid(float(values.min()), float(values.max()), dtype)


def _steps(values: np.ndarray) -> int | None:
    """The fewest steps from zero to the largest magnitude that put every value on a step."""
    values = values.ravel()
    magnitudes = np.unique(np.abs(values[:1024]))  # most float kernels have more than 128 in these
    for part in _parts(values):
        if len(magnitudes) > 128:
            return None
        magnitudes = np.union1d(magnitudes, np.abs(values[part]))
    if len(magnitudes) > 128:
        return None
    if not magnitudes.any():
        return 1
    found = _steps_of_channels(magnitudes[None])
    return None if found is None else int(found[0])


def _steps_of_channels(channels: np.ndarray) -> np.ndarray | None:
    """For each row the fewest steps to its largest magnitude; None if a row is on no grid."""
    found = [np.empty(0, "int64")]
    for part in _parts(channels):
        found.append(_steps_of_rows(np.abs(channels[part])))
        if found[-1] is None:
            return None
    return np.concatenate(found)


def _parts(values: np.ndarray) -> Iterator[slice]:
    """Slices of the first axis of which each is small: kernels may be as large as the memory."""
    rows = max(_PART * len(values) // max(values.size, 1), 1)
    return (slice(start, start + rows) for start in range(0, len(values), rows))


def _steps_of_rows(sizes: np.ndarray) -> np.ndarray | None:
    """For each row of magnitudes the fewest steps, 127 at most; None if a row is on no grid."""
    largest = sizes.max(axis=1, keepdims=True, initial=0.0).astype("float64")
    shares = sizes / np.where(largest > 0, largest, 1.0)
    # 127 is a prime: what is on its grid is on a coarser one only with nothing between 0 and it.
    found = np.where(_all_on_grid(shares, 127), 127, 0)
    found[(found > 0) & ((shares == 0) | (shares == 1)).all(axis=1)] = 1
    for count in range(1, 127):
        left = np.flatnonzero(found == 0)
        if not len(left):
            break
        found[left[_all_on_grid(shares[left], count)]] = count
    return found if found.all() else None


def _all_on_grid(shares: np.ndarray, count: int) -> np.ndarray:
    """Which rows have all their shares of the largest on steps of 1 / count."""
    places = shares * count
    steps = np.round(places)
    fits = (np.abs(places - steps) < _ON_GRID) & ((steps > 0) | (shares == 0))  # tiny is not zero
    return fits.all(axis=1)

"""What many batches of a tensor say about the range to round it in."""

import re
from collections.abc import Mapping

import numpy as np

_MOMENTUM = 0.95
_BINS = 2048
_PERCENT = 99.99
_LEVELS = 255
# Shares of the full range that `mse` and `entropy` try on each side.
_SHARES = np.linspace(0.2, 1.0, 41)


class MinMax:
    """All values seen; also what every other estimator follows.

    Attributes:
        low: Smallest value seen; NaN once one was.
        high: Largest.
    """

    def __init__(self):
        self.low, self.high = np.inf, -np.inf

    def update(self, values: np.ndarray) -> None:
        """Take a batch in: `(samples, ...)`."""
        self.low = float(np.minimum(self.low, values.min()))
        self.high = float(np.maximum(self.high, values.max()))

    def range(self) -> tuple[float, float]:
        """`(smallest, largest)` value to be represented."""
        return self.low, self.high


class MovingAverage(MinMax):
    """Exponential moving average of the extremes of single samples, from the first one on."""

    def __init__(self):
        super().__init__()
        self.extremes: np.ndarray | None = None

    def update(self, values: np.ndarray) -> None:
        super().update(values)
        flat = values.reshape(len(values), -1)
        for extremes in np.stack([flat.min(axis=1), flat.max(axis=1)], axis=1).astype("float64"):
            if self.extremes is None:
                self.extremes = extremes
            self.extremes = _MOMENTUM * self.extremes + (1 - _MOMENTUM) * extremes

    def range(self) -> tuple[float, float]:
        return float(self.extremes[0]), float(self.extremes[1])


class Histogram(MinMax):
    """Counts of values in equal bins around zero, which widen as larger values come."""

    def __init__(self):
        super().__init__()
        self.half = 0.0  # bins reach from -half to half
        self.counts = np.zeros(_BINS, "int64")

    def update(self, values: np.ndarray) -> None:
        super().update(values)
        largest = max(-self.low, self.high)
        if not np.isfinite(largest):
            return
        self._reach(largest)
        if self.half > 0:
            places = values.ravel() * np.float32(_BINS / 2 / self.half) + np.float32(_BINS / 2)
            places = np.minimum(places.astype("int32"), _BINS - 1)
            self.counts += np.bincount(places, minlength=_BINS)

    def _reach(self, largest: float) -> None:
        if self.half == 0.0:
            self.half = largest
        while self.half < largest:  # twice as wide: each two bins become one
            pairs = self.counts.reshape(-1, 2).sum(axis=1)
            self.counts = np.pad(pairs, _BINS // 4)
            self.half *= 2

    @property
    def centres(self) -> np.ndarray:
        """The values that the bins stand for."""
        return ((np.arange(_BINS) + 0.5) / (_BINS / 2) - 1) * self.half


class Percentile(Histogram):
    """What holds 99.99 % of the values, half of the others on each side."""

    def range(self) -> tuple[float, float]:
        if self.half == 0.0:
            return self.low, self.high
        below = np.cumsum(self.counts) / self.counts.sum()
        outside = (1 - _PERCENT / 100) / 2
        width = 2 * self.half / _BINS
        low = -self.half + np.searchsorted(below, outside, side="right") * width
        high = -self.half + (np.searchsorted(below, 1 - outside) + 1) * width
        return max(float(low), self.low), min(float(high), self.high)


class MeanSquaredError(Histogram):
    """The range that loses least: rounding inside of it against cutting outside.

    Source: Choukroun et al. 2019, arXiv 1902.06822.
    """

    def range(self) -> tuple[float, float]:
        best = low, high = min(self.low, 0.0), max(self.high, 0.0)
        for _ in range(2):  # each side in turn, beside the best of the other
            best = min(((low * float(s), best[1]) for s in _SHARES), key=self._loss)
            best = min(((best[0], high * float(s)) for s in _SHARES), key=self._loss)
        return best

    def _loss(self, limits) -> float:
        step = (limits[1] - limits[0]) / _LEVELS
        outside = self.centres - np.clip(self.centres, *limits)
        return float(np.sum(self.counts * (outside**2 + step**2 / 12 * (outside == 0))))


class Entropy(Histogram):
    """The range whose rounded distribution says most of the original: least KL divergence.

    Source: Migacz 2017, 8-bit inference with TensorRT.
    """

    def range(self) -> tuple[float, float]:
        low, high = min(self.low, 0.0), max(self.high, 0.0)
        tried = ((low * float(share), high * float(share)) for share in _SHARES)
        return min(tried, key=self._divergence) if self.half else (0.0, 0.0)

    def _divergence(self, limits) -> float:
        low, high = limits
        inside = (self.centres >= low) & (self.centres <= high)
        if not self.counts[inside].any():
            return np.inf
        reference = np.where(inside, self.counts, 0).astype("float64")
        first, last = np.flatnonzero(inside)[[0, -1]]
        reference[first] += self.counts[:first].sum()
        reference[last] += self.counts[last + 1 :].sum()
        levels = np.floor((self.centres[inside] - low) / max(high - low, 1e-30) * _LEVELS)
        levels = np.clip(levels, 0, _LEVELS - 1).astype("int64")
        counted = self.counts[inside]
        totals = np.bincount(levels, weights=counted, minlength=_LEVELS)
        occupied = np.bincount(levels, weights=counted > 0, minlength=_LEVELS)
        rounded = np.where(counted > 0, (totals / np.maximum(occupied, 1))[levels], 0.0)
        p = reference[inside] / reference.sum()
        q = rounded / max(rounded.sum(), 1e-30)
        # What is cut lies on bins the rounded distribution may not have.
        p, q = p[p > 0], np.maximum(q[p > 0], 1e-9)
        return float(np.sum(p * np.log(p / q)))


ESTIMATORS: dict[str, type[MinMax]] = {
    "minmax": MinMax,
    "ema": MovingAverage,
    "percentile": Percentile,
    "mse": MeanSquaredError,
    "entropy": Entropy,
}


def check_estimator(estimator: str | Mapping[str, str]) -> None:
    """Check a name out of `ESTIMATORS`, or `{regex on tensor names: name}`.

    Raises:
        ValueError: It is neither.
    """
    names = list(estimator.values()) if isinstance(estimator, Mapping) else [estimator]
    if not names or any(name not in ESTIMATORS for name in names):
        raise ValueError(
            f"`estimator` must be one of {', '.join(ESTIMATORS)}, or a dict {{regex: name}}. "
            f"Received: {estimator!r}"
        )
    for regex in estimator if isinstance(estimator, Mapping) else ():
        try:
            re.compile(regex)
        except (re.error, TypeError) as error:
            raise ValueError(
                f"`estimator` holds {regex!r}, which is not a regular expression: {error}"
            ) from None

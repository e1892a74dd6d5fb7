"""The statistics of a benchmark: medians over processes, with intervals by bootstrap."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

_RESAMPLES = 2000
# A difference below this share is not called one, however sure it is.
_SMALLEST_DIFFERENCE = 0.01
# And one that may be this large is not called none.
_LARGEST_EQUALITY = 0.05
# Of the signed-rank test; with fewer pairs than six it cannot be reached.
_SIGNIFICANCE = 0.05
FEWEST_PAIRS = 6
_OUTLIER_DEVIATIONS = 5


def median_interval(values: Sequence[float], seed: int = 0) -> tuple[float, float]:
    """95 % interval of the median of `values`, by resampling them.

    Pass one value per process: runs within a process are not independent of each other.

    Source: Efron & Tibshirani 1993, percentile bootstrap.
    """
    values = np.asarray(values, dtype=float)
    picks = np.random.default_rng(seed).integers(0, len(values), (_RESAMPLES, len(values)))
    low, high = np.percentile(np.median(values[picks], axis=1), [2.5, 97.5])
    return float(low), float(high)


@dataclass(frozen=True)
class Ratio:
    """The time of one thing over that of another, from pairs of processes.

    Args:
        value: Median of the pairs' ratios.
        low: Lower end of its 95 % interval.
        high: Upper end.
        p: Of the signed-rank test that there is no difference; 1 for a single pair.
        pairs: How many there are.
    """

    value: float
    low: float
    high: float
    p: float
    pairs: int

    def verdict(self, floor: float = 0.0) -> str:
        """`"slower"`, `"faster"`, `"no difference"`, `"unclear"` or `"too few processes"`.

        A difference is one whose whole interval lies beyond 1 %, and beyond `floor`, and that the
        signed-rank test finds too. None is one whose whole interval lies within 5 %, or within
        `floor` where that is more. Fewer than six pairs tell neither.

        Args:
            floor: How far apart equal things were found to come out. Defaults to `0.0`.
        """
        if self.pairs < FEWEST_PAIRS:
            return "too few processes"
        least, most = max(_SMALLEST_DIFFERENCE, floor), max(_LARGEST_EQUALITY, floor)
        beyond = self.low > 1 + least or self.high < 1 / (1 + least)
        if beyond and self.p <= _SIGNIFICANCE:
            return "slower" if self.value > 1 else "faster"
        within = self.low >= 1 / (1 + most) and self.high <= 1 + most
        return "no difference" if within else "unclear"

    @property
    def spread(self) -> float:
        """How far the interval's ends are from 1, the farther one: a floor for equal things."""
        return max(self.high, 1 / self.low) - 1


def ratio_of(values: Sequence[float], reference: Sequence[float], seed: int = 0) -> Ratio:
    """The ratio of `values` to `reference`, paired process by process.

    A slow minute of the machine hits both of a pair, and cancels.

    Source: Wilcoxon 1945, "Individual comparisons by ranking methods" (on logarithms of ratios).
    """
    ratios = np.asarray(values, dtype=float) / np.asarray(reference, dtype=float)
    low, high = median_interval(ratios, seed)
    return Ratio(float(np.median(ratios)), low, high, _signed_rank(np.log(ratios)), len(ratios))


def ratio_between(values: Sequence[float], reference: Sequence[float], seed: int = 0) -> Ratio:
    """The ratio of medians of two things that were measured at different times, each by itself.

    Its `p` is of the rank-sum test.

    Source: Mann & Whitney 1947, "On a test of whether one of two random variables is larger".
    """
    from scipy.stats import mannwhitneyu

    rng = np.random.default_rng(seed)
    medians = []
    for side in (values, reference):
        side = np.asarray(side, dtype=float)
        medians.append(np.median(side[rng.integers(0, len(side), (_RESAMPLES, len(side)))], axis=1))
    low, high = np.percentile(medians[0] / medians[1], [2.5, 97.5])
    p = float(mannwhitneyu(values, reference).pvalue)
    value = float(np.median(values) / np.median(reference))
    return Ratio(value, float(low), float(high), p, min(len(values), len(reference)))


def outliers(samples: Sequence[float]) -> int:
    """Samples more than five median deviations above the median."""
    samples = np.asarray(samples, dtype=float)
    median = np.median(samples)
    deviation = np.median(np.abs(samples - median))
    return int(np.sum(samples > median + _OUTLIER_DEVIATIONS * deviation)) if deviation else 0


def _signed_rank(differences: np.ndarray) -> float:
    from scipy.stats import wilcoxon

    if not np.any(differences):
        return 1.0
    return float(wilcoxon(differences).pvalue)

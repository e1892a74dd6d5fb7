"""What in a measurement calls for caution, in words."""

import os

import numpy as np

from device_bench.measurement import Measurement

_DRIFT = 0.05
_TAIL = 1.3
_GAP = 0.05
_LEAST_BUSY = 0.95
_MOST_STEAL = 0.01
_FREQUENCY = 0.05
_LEAK = 2**20
# A median of fewer is one of few values.
_FEWEST_RUNS = 10
# The call from Python takes some microseconds, and has a part in what is measured.
_SHORT_MS = 0.05


def flags(measurement: Measurement) -> list[str]:
    """What to know before believing it; empty for a sound measurement.

    Args:
        measurement: Of a model that ran.
    """
    windows = measurement.windows
    found = [
        _drift(measurement),
        _modes(measurement),
        _share("warm-up was never steady", [not window["steady"] for window in windows]),
        _disturbed(measurement),
        _leak(measurement),
    ]
    cores = os.cpu_count() or 1
    if measurement.setting.threads > cores:
        found.append(f"more threads than the {cores} cores: they take turns, unpinned")
    least = min(window["runs"] for window in windows)
    if least < _FEWEST_RUNS:
        found.append(f"few runs: {least} in a window")
    if measurement.check and "unchecked" in measurement.check:
        found.append(f"outputs not compared: {measurement.check['unchecked']}")
    if measurement.median_ms < _SHORT_MS:
        found.append("so short that the call itself counts")
    return [text for text in found if text]


def _drift(measurement) -> str | None:
    """Whether later runs are slower or faster than earlier ones, over processes or within them."""
    medians = measurement.process_medians_ms
    half = len(medians) // 2
    if half >= 3:
        early, late = medians[:half], medians[-half:]
        change = np.median(late) / np.median(early) - 1
        apart = min(late) > max(early) or max(late) < min(early)
        if abs(change) > _DRIFT and apart:
            return f"drifts: later processes take {1 + change:.2f} times as long"
    changes = []
    for window in measurement.windows:
        samples = window["samples_us"]
        middle = len(samples) // 2
        changes.append(np.median(samples[middle:]) / np.median(samples[: middle or 1]) - 1)
    change = float(np.median(changes))
    if abs(change) > _DRIFT:
        return f"drifts: later runs take {1 + change:.2f} times as long"
    return None


def _modes(measurement) -> str | None:
    """Whether times gather in two places: over processes, or within them."""
    medians = sorted(measurement.process_medians_ms)
    if len(medians) >= 4:
        gaps = np.diff(medians[1:-1])  # two on each side at least
        if len(gaps) and gaps.max() > _GAP * medians[0]:
            spread = (medians[-1] - medians[0]) - gaps.max()
            if spread < gaps.max():
                place = 2 + int(gaps.argmax())
                low, high = np.median(medians[:place]), np.median(medians[place:])
                return f"bimodal: processes take {low:.3g} ms or {high:.3g} ms"
    apart = [two for window in measurement.windows if (two := _two_modes(window["samples_us"]))]
    if len(apart) > len(measurement.windows) / 2:
        low, high = np.median(apart, axis=0) / 1e3
        return f"bimodal: runs take {low:.3g} ms or {high:.3g} ms"
    tail = measurement.p90_ms / measurement.median_ms
    return f"long tail: p90 is {tail:.1f} times the median" if tail > _TAIL else None


def _two_modes(samples) -> tuple[float, float] | None:
    """Middles of two groups of runs with an empty stretch between them; None for one group."""
    ranked = np.sort(samples)
    edge = max(1, len(ranked) // 10)  # a tenth on each side at least
    gaps = np.diff(ranked[edge - 1 : len(ranked) - edge + 1])
    if not len(gaps) or gaps.max() < _GAP * ranked[0]:
        return None
    place = edge + int(gaps.argmax())
    return float(np.median(ranked[:place])), float(np.median(ranked[place:]))


def _disturbed(measurement) -> str | None:
    windows = measurement.windows
    if measurement.setting.threads == 1:
        busy = float(np.median([window["cpu_per_wall"] for window in windows]))
        if busy < _LEAST_BUSY:
            return f"disturbed: had its processor for {busy:.0%} of the time"
    clocks = [window["frequency_khz"] for window in windows if None not in window["frequency_khz"]]
    changes = [after / before - 1 for before, after in clocks]
    if changes and np.median(np.abs(changes)) > _FREQUENCY:
        return f"disturbed: the clock changed by {np.median(changes):+.0%} during a window"
    steal = [window["steal"] for window in windows if window["steal"] is not None]
    if steal and np.median(steal) > _MOST_STEAL:
        return f"disturbed: the hypervisor took {np.median(steal):.0%} of the processors"
    return None


def _leak(measurement) -> str | None:
    leaked = measurement.leaked_bytes
    if leaked is None or leaked < _LEAK:
        return None
    runs = np.median([window["runs"] for window in measurement.windows])
    return f"leaks: grew by {leaked / 1e6:.1f} MB in {runs:.0f} runs"


def _share(text: str, hits: list[bool]) -> str | None:
    """The text where it holds for most."""
    return text if sum(hits) > len(hits) / 2 else None

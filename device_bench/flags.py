"""What in a measurement calls for caution, in words."""

import numpy as np

from device_bench.measurement import Measurement

_DRIFT = 0.05
_TAIL = 1.3
_GAP = 0.05
_LEAST_BUSY = 0.95
_MOST_STEAL = 0.01
_LEAK = 2**20
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
    if measurement.p90_ms > _TAIL * measurement.median_ms:
        return (
            f"long tail: p90 is {measurement.p90_ms / measurement.median_ms:.1f} times the median"
        )
    return None


def _disturbed(measurement) -> str | None:
    windows = measurement.windows
    if measurement.setting.threads == 1:
        busy = float(np.median([window["cpu_per_wall"] for window in windows]))
        if busy < _LEAST_BUSY:
            return f"disturbed: had its processor for {busy:.0%} of the time"
    steal = [window["steal"] for window in windows if window["steal"] is not None]
    if steal and np.median(steal) > _MOST_STEAL:
        return f"disturbed: the hypervisor took {np.median(steal):.0%} of the processors"
    return None


def _leak(measurement) -> str | None:
    leaked = measurement.leaked_bytes
    if leaked < _LEAK:
        return None
    runs = np.median([window["runs"] for window in measurement.windows])
    return f"leaks: grew by {leaked / 1e6:.1f} MB in {runs:.0f} runs"


def _share(text: str, hits: list[bool]) -> str | None:
    """The text where it holds for most."""
    return text if sum(hits) > len(hits) / 2 else None

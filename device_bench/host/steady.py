"""Runs one after another: warm-up until it is steady, and measured windows."""

import statistics
import time
from array import array
from collections.abc import Callable

from device_bench.host.machine import memory

_STRETCH_SECONDS = 0.05
_STRETCH_RUNS = 5
_ALIKE = 0.02
_LONGEST_WARMUP = 5.0
_KEPT = 5000
clock = time.perf_counter_ns


def warm_up(run: Callable[[], int], seconds: float) -> dict:
    """Run until two stretches in a row have medians within 2 % of each other.

    Args:
        run: Does it once, and gives nanoseconds.
        seconds: How long it takes at least; ten times that, and no more than 5 s, at most.

    Returns:
        `warmup_runs`, `warmup_us` of all of them, and whether it became `steady`.
    """
    start, times, before, steady = clock(), [], None, False
    longest = min(_LONGEST_WARMUP, 10 * seconds) * 1e9
    while True:
        stretch, begun = [], clock()
        while len(stretch) < _STRETCH_RUNS or clock() - begun < _STRETCH_SECONDS * 1e9:
            stretch.append(run())
        times += stretch
        now = statistics.median(stretch)
        steady = before is not None and abs(now - before) <= _ALIKE * before
        before, passed = now, clock() - start
        if (steady and passed >= seconds * 1e9) or passed > longest:
            return {"warmup_runs": len(times), "warmup_us": sum(times) / 1e3, "steady": steady}


def window(run: Callable[[], int], seconds: float, min_runs: int, longest: float) -> dict:
    """Steady runs for so many seconds and so many runs at least.

    Args:
        run: Does it once, and gives nanoseconds.
        seconds: How long at least.
        min_runs: How many at least, unless that takes `longest`.
        longest: Seconds after which it ends in any case.

    Returns:
        `runs`, `seconds`, quantiles in microseconds, `grown_bytes` of the process, and
        `samples_us`: all runs, or 5,000 of them at equal distances.
    """
    times, before, start = array("Q"), memory()["anonymous"], clock()
    end, last = start + int(seconds * 1e9), start + int(longest * 1e9)
    while clock() < (last if len(times) < min_runs else end):
        times.append(run())
    passed, after = clock() - start, memory()["anonymous"]
    ranked = sorted(times)
    quantiles = {
        name: ranked[min(len(ranked) - 1, int(share * len(ranked)))] / 1e3
        for name, share in (("p90", 0.9), ("p99", 0.99))
    }
    quantiles |= {"min": ranked[0] / 1e3, "median": statistics.median(ranked) / 1e3}
    # The list of times itself grows, with an eighth to spare.
    own = times.itemsize * len(times) * 9 // 8
    grown = None if None in (before, after) else after - before - own
    samples = [n / 1e3 for n in times[:: -(-len(times) // _KEPT)]]
    return {
        "runs": len(times),
        "seconds": passed / 1e9,
        **quantiles,
        "grown_bytes": grown,
        "samples_us": samples,
    }

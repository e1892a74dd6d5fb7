"""What the machine did meanwhile; what cannot be read is None."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100


class Watch:
    """Counts what disturbs a measurement, from its making to `stop`."""

    def __init__(self):
        self._before = _counters()
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> dict:
        """Shares and counts since it was made.

        Returns:
            `cpu_per_wall`: processor time over time; 1 per busy thread where nothing interfered.
            `steal`: Share of the processors' time that the hypervisor took.
            `switched_out`: How often the process lost its processor.
        """
        wall = max(1e-9, time.perf_counter() - self._clock)
        before, after = self._before, _counters()
        found = {"cpu_per_wall": (time.process_time() - self._cpu) / wall}
        for name, scale in (("steal", _TICKS * wall * (os.cpu_count() or 1)), ("switched_out", 1)):
            known = before[name] is not None and after[name] is not None
            found[name] = (after[name] - before[name]) / scale if known else None
        return found


def memory() -> dict[str, int]:
    """Resident bytes of this process: `anonymous`, `total`, and the `peak` of the total."""
    found = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in ("RssAnon", "VmRSS", "VmHWM"):
                found[name] = int(value.split()[0]) * 1024
    if "VmHWM" not in found:
        # Not on Linux, where its peak includes that of the parent that started us.
        import resource

        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return {"anonymous": 0, "total": 0, "peak": peak}
    return {"anonymous": found["RssAnon"], "total": found["VmRSS"], "peak": found["VmHWM"]}


@contextlib.contextmanager
def limited_memory(most: int) -> Iterator[None]:
    """No more address space than that: a model may ask for any amount.

    Raises:
        MemoryError: It did, in place of what LiteRT says then, which is little.
    """
    import resource

    resource.setrlimit(resource.RLIMIT_AS, (most, most))
    left = f"{most / 1e9:.0f} GB that this machine has left"
    try:
        yield
    except MemoryError:
        raise MemoryError(f"asks for more than the {left}") from None
    except RuntimeError as error:
        if str(error):
            raise
        raise MemoryError(
            f"gave up without a word, as where it needs more than the {left}"
        ) from None


def _counters() -> dict:
    found = {"steal": None, "switched_out": None}
    with contextlib.suppress(OSError, ValueError, IndexError):
        found["steal"] = int(Path("/proc/stat").read_text().split("\n", 1)[0].split()[8])
    with contextlib.suppress(ImportError):
        import resource

        found["switched_out"] = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    return found

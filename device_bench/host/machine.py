"""What the machine did meanwhile; what cannot be read is None."""

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 100
_MEMORY = {"RssAnon": "anonymous", "VmRSS": "total", "VmHWM": "peak"}


class Watch:
    """Counts what disturbs a measurement, from its making to `stop`.

    Args:
        cores: Those that are measured on; None for all.
    """

    def __init__(self, cores: list[int] | None):
        self._cores = cores
        self._before = _counters(cores)
        self._clock, self._cpu = time.perf_counter(), time.process_time()

    def stop(self) -> dict:
        """Shares and counts since it was made; None for what cannot be read.

        Returns:
            `cpu_per_wall`: processor time over time; 1 per busy thread where nothing interfered.
            `steal`: Share of the cores' time that the hypervisor took.
            `switched_out`: How often the process lost its processor.
            `frequency_khz`: Of the first core, before and after.
        """
        wall = max(1e-9, time.perf_counter() - self._clock)
        before, after = self._before, _counters(self._cores)
        found = {"cpu_per_wall": (time.process_time() - self._cpu) / wall}
        ticks = _TICKS * wall * len(self._cores or range(os.cpu_count() or 1))
        for name, scale in (("steal", ticks), ("switched_out", 1)):
            change = _difference(after[name], before[name])
            found[name] = None if change is None else change / scale
        return found | {"frequency_khz": [before["frequency_khz"], after["frequency_khz"]]}


def memory() -> dict[str, int | None]:
    """Resident bytes of this process: `anonymous`, `total`, and the `peak` of the total.

    None for what the system does not tell; all but the peak outside Linux.
    """
    found: dict[str, int] = {}
    with contextlib.suppress(OSError):
        for line in Path("/proc/self/status").read_text().splitlines():
            name, _, value = line.partition(":")
            if name in _MEMORY:
                found[_MEMORY[name]] = int(value.split()[0]) * 1024
    if "peak" not in found:
        with contextlib.suppress(ImportError):
            import resource

            # macOS counts bytes; on Linux it would be that of the parent, too.
            found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {name: found.get(name) for name in _MEMORY.values()}


def growth(after: dict, before: dict, name: str) -> int | None:
    """By how much a figure of `memory` rose; None where it is not known."""
    return _difference(after[name], before[name])


@contextlib.contextmanager
def limited_memory(most: int) -> Iterator[None]:
    """No more address space than that: a model may ask for any amount.

    Raises:
        MemoryError: It did, in place of what LiteRT says then, which is little.
    """
    with contextlib.suppress(ImportError, ValueError, OSError):  # not everywhere there is one
        import resource

        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(resource.RLIMIT_AS, (least, hard))
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


def _counters(cores: list[int] | None) -> dict:
    found = {"steal": None, "switched_out": None, "frequency_khz": None}
    with contextlib.suppress(OSError, ValueError, IndexError):
        names = {"cpu"} if cores is None else {f"cpu{core}" for core in cores}
        lines = (line.split() for line in Path("/proc/stat").read_text().splitlines())
        found["steal"] = sum(int(parts[8]) for parts in lines if parts and parts[0] in names)
    with contextlib.suppress(ImportError):
        import resource

        found["switched_out"] = resource.getrusage(resource.RUSAGE_SELF).ru_nivcsw
    with contextlib.suppress(OSError, ValueError):
        path = f"/sys/devices/system/cpu/cpu{(cores or [0])[0]}/cpufreq/scaling_cur_freq"
        found["frequency_khz"] = int(Path(path).read_text())
    return found


def _difference(after, before):
    return None if None in (after, before) else after - before

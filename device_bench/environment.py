"""What the host is, and how it was doing."""

import contextlib
import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

# Flags that decide which kernels LiteRT takes.
_TELLING = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8", "asimd", "asimddp", "i8mm")
_FREQUENCY = Path("/sys/devices/system/cpu/cpu0/cpufreq")


def describe_host() -> dict:
    """Processor, cores, load, frequency, limits and versions; what cannot be read is None."""
    info = _processor_info()
    flags = (info.get("flags") or info.get("Features") or "").split()
    return {
        "processor": info.get("model name") or platform.processor() or None,
        "machine": platform.machine(),
        "kernels_for": [flag for flag in _TELLING if flag in flags],
        "virtual": "hypervisor" in flags if flags else None,
        "cores": os.cpu_count(),
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
        "quota": _read(Path("/sys/fs/cgroup/cpu.max")),
        "governor": _read(_FREQUENCY / "scaling_governor"),
        "frequency_khz": _read(_FREQUENCY / "scaling_cur_freq"),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ai-edge-litert": package_version("ai-edge-litert"),
        "numpy": package_version("numpy"),
    }


def _processor_info() -> dict[str, str]:
    """The first processor of /proc/cpuinfo."""
    text = _read(Path("/proc/cpuinfo")) or ""
    pairs = (line.partition(":") for line in text.split("\n\n")[0].splitlines())
    return {name.strip(): value.strip() for name, _, value in pairs}


def _read(path: Path) -> str | None:
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return None


def package_version(package: str) -> str | None:
    """The installed version, or None."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None

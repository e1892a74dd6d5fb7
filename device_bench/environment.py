"""What the host was while it measured."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version


def describe_host() -> dict:
    """Processor, cores, load and versions; what cannot be read is None."""
    return {
        "processor": _processor(),
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "ai-edge-litert": _version("ai-edge-litert"),
        "numpy": _version("numpy"),
    }


def _processor() -> str | None:
    try:
        with open("/proc/cpuinfo") as info:
            return next(line.split(":", 1)[1].strip() for line in info if "model name" in line)
    except (OSError, StopIteration):
        return platform.processor() or None


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None

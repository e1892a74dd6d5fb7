"""device_bench: how long a `.tflite` takes, measured so that it can be believed."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_bench.benchmarking import benchmark
    from device_bench.result import Measurement, Result

# Loaded when first used: the measuring process must stay small.
_HOMES = {"benchmark": "benchmarking", "Measurement": "result", "Result": "result"}

__all__ = ["Measurement", "Result", "benchmark"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"device_bench.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'device_bench' has no attribute {name!r}")

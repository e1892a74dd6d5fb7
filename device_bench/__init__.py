"""device_bench: how long a `.tflite` takes, measured so that it can be believed."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from device_bench.benchmarking import benchmark
    from device_bench.estimates.roofline import estimate
    from device_bench.measurement import Measurement
    from device_bench.profiling.profile import profile
    from device_bench.result import Result
    from device_bench.setting import Setting

# Loaded when first used: the measuring process must stay small.
_HOMES = {
    "benchmark": "benchmarking",
    "estimate": "estimates.roofline",
    "profile": "profiling.profile",
    "Measurement": "measurement",
    "Result": "result",
    "Setting": "setting",
}

__all__ = ["Measurement", "Result", "Setting", "benchmark", "estimate", "profile"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"device_bench.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'device_bench' has no attribute {name!r}")

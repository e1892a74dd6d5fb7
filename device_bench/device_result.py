"""What the results for all devices have in common."""

from typing import Any

from device_bench.finding import Finding


class DeviceResult(Finding):
    """Measurements by name.

    Attributes:
        measurements: One per row, each with a `name`.
    """

    measurements: Any

    def __getitem__(self, name: str):
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise KeyError(f"no model {name!r}; there are {[m.name for m in self.measurements]}")

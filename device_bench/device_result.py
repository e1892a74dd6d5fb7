"""What the results for all devices have in common."""

import json
import os
from pathlib import Path
from typing import Any

from converters.files import write_whole

# Of the JSON that all of them write; `kind` says which it is.
SCHEMA_VERSION = 2


class DeviceResult:
    """Measurements by name, which go to a table and to JSON.

    Attributes:
        measurements: One per row, each with a `name`.
        kind: Of the result, in its JSON.
    """

    measurements: Any
    kind = ""

    def __getitem__(self, name: str):
        for measurement in self.measurements:
            if measurement.name == name:
                return measurement
        raise KeyError(f"no model {name!r}; there are {[m.name for m in self.measurements]}")

    def to_dict(self) -> dict:
        """All of it for JSON; the format has a version."""
        return {"schema_version": SCHEMA_VERSION, "kind": self.kind, **self._content()}

    def to_json(self, path: str | os.PathLike) -> Path:
        """Write all of it as JSON."""
        return write_whole(path, json.dumps(self.to_dict()))

    def table(self):
        """The figures as a `rich` table."""
        raise NotImplementedError

    def __str__(self):
        from rich.console import Console

        console = Console(width=120)
        with console.capture() as capture:
            console.print(self.table())
        return capture.get()

    def _content(self) -> dict:
        raise NotImplementedError

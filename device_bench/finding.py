"""What can be shown as a table and written as JSON."""

import json
import os
from pathlib import Path

from converters.files import write_whole

# Of the JSON that all of them write; `kind` says which it is.
SCHEMA_VERSION = 2


class Finding:
    """Figures that go to a table and to JSON.

    Attributes:
        kind: Of the figures, in their JSON.
    """

    kind = ""

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

"""The command line: thin over the same functions that Python callers use."""

from edgekit.cli.main import main

__all__ = ["main"]

"""Benchmarks one after another, in a file with a line of JSON for each."""

import json
import os
import time
from pathlib import Path

from converters.files import place_for_file, write_whole
from device_bench.result import Result

_HOST = ("processor", "machine", "ai-edge-litert")
_LEFT_OUT = ("check", "headline")


def add_to_history(result: Result, path: str | os.PathLike) -> Path:
    """Add the figures of a benchmark, without raw samples, to the end of the file.

    Args:
        result: Of the benchmark.
        path: The file; made if missing.

    Raises:
        ValueError: There is such a file, with something else in it.
    """
    path = place_for_file(path)
    lines = [json.dumps(entry) for entry in read_history(path)] if path.exists() else []
    entry = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": {name: result.host[name] for name in _HOST},
        "mode": result.settings["mode"],
        "measurements": [
            {key: value for key, value in m.summary().items() if key not in _LEFT_OUT}
            for m in result.measurements
        ],
    }
    return write_whole(path, "".join(f"{line}\n" for line in [*lines, json.dumps(entry)]))


def comparable(history: list[dict]) -> list[dict]:
    """The last benchmark of a history, and those before it on the same host in the same mode."""
    last = history[-1]
    about = last.get("host"), last.get("mode")
    return [entry for entry in history if (entry.get("host"), entry.get("mode")) == about]


def read_history(path: str | os.PathLike) -> list[dict]:
    """The benchmarks of a history, oldest first.

    Raises:
        ValueError: The file is none.
    """
    found = []
    for number, line in enumerate(Path(path).read_text(errors="replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
            entry["time"], entry["measurements"]
        except (ValueError, KeyError, TypeError):
            raise ValueError(f"{path} is no history: line {number} is not one of its own") from None
        found.append(entry)
    return found

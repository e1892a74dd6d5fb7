"""Files that appear whole or not at all."""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path


def write_beside(path: str | Path, write: Callable[[Path], None]) -> Path:
    """Let `write` make the file beside `path`, then rename it: no reader sees half of it.

    Args:
        path: Where the file shall be.
        write: Takes the path to write to, which has the same suffix.

    Raises:
        FileNotFoundError: The folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}")
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        partial = Path(folder) / path.name
        write(partial)
        os.replace(partial, path)
    return path

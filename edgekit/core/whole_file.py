"""Writing files that appear whole or not at all.

As `converters.files` does, which this floor may not import.
"""

import os
import tempfile
from pathlib import Path


def write_whole(path: str | os.PathLike, content: bytes) -> Path:
    """Write `content` beside `path`, then rename.

    Raises:
        FileNotFoundError: The folder does not exist.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}")
    # In a folder of its own the file gets the permissions that any new file gets.
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=f".{path.name}.") as folder:
        temporary = Path(folder) / path.name
        temporary.write_bytes(content)
        return temporary.replace(path)

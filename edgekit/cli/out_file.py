"""Where a command's result goes."""

import os
from pathlib import Path

from converters.files import place_for_file


def out_file(out: str | os.PathLike, *read: str | os.PathLike) -> Path:
    """`out` as a `Path` that a file can be written to, and is none of those that are `read`.

    Raises:
        FileNotFoundError: Its folder does not exist.
        IsADirectoryError: It is a folder itself.
        ValueError: It is one of the files to read.
    """
    path = place_for_file(out)
    for source in read:
        if path.resolve() == Path(source).resolve():
            raise ValueError(f"--out {path} is a file to read, which would be lost: name another")
    return path

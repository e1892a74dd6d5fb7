"""Files that are there when read, and appear whole or not at all when written."""

import os
import tempfile
from pathlib import Path


def existing_file(path: str | os.PathLike) -> Path:
    """`path` as a `Path`.

    Raises:
        FileNotFoundError: There is no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no such file: {path}")
    return path


def write_whole(path: str | os.PathLike, content: bytes | str) -> Path:
    """Write `content` beside `path`, then rename: no reader ever sees half a file.

    Raises:
        OSError: The folder does not exist or cannot be written to.
    """
    path = Path(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}")
    if isinstance(content, str):
        content = content.encode()
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(temporary, 0o666 & ~_umask())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
    return path


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask

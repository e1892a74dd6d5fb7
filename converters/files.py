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


def place_for_file(path: str | os.PathLike) -> Path:
    """`path` as a `Path` that a file can be written to; asked before long work, not after it.

    Raises:
        FileNotFoundError: Its folder does not exist.
        IsADirectoryError: It is a folder itself.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise FileNotFoundError(f"no such folder: {path.parent}")
    return path


def place_for_folder(path: str | os.PathLike) -> Path:
    """`path` as a `Path` that is a folder, or can become one.

    Raises:
        NotADirectoryError: It is a file.
    """
    path = Path(path)
    if path.exists() and not path.is_dir():
        raise NotADirectoryError(f"{path} is a file: name a folder")
    return path


def write_whole(path: str | os.PathLike, content: bytes | str) -> Path:
    """Write `content` beside `path`, then rename: no reader ever sees half a file.

    Raises:
        OSError: The folder does not exist or cannot be written to, or `path` is one itself.
    """
    path = place_for_file(path)
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

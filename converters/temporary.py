"""Temporary folders that go with the process that made them, however it ends."""

import contextlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

try:
    import fcntl
except ImportError:  # not on Windows
    fcntl = None  # type: ignore[assignment]

PREFIX = "edgekit-"
_LOCK = ".alive"
# A folder without a lock is in the making, or was left before there were locks.
_LONGEST_MAKING = 3600
_swept: set[Path] = set()


class TemporaryFolder:
    """A folder that goes with `remove`, or once this process is gone.

    A lock is held on a file in it for as long as this process lives. Where one was killed, the
    next process that makes a temporary folder finds the lock free and removes what was left.

    Args:
        kind: What it is for, in its name.
    """

    def __init__(self, kind: str):
        place = Path(tempfile.gettempdir())
        if place not in _swept:
            _swept.add(place)
            sweep(place)
        self.path = Path(tempfile.mkdtemp(prefix=f"{PREFIX}{kind}-", dir=place))
        lock = _locked(self.path / _LOCK)
        self._finalizer = weakref.finalize(self, _remove, self.path, lock, os.getpid())

    def remove(self) -> None:
        """Remove the folder and all that is in it; so does the end of this process."""
        self._finalizer()


@contextmanager
def temporary_folder(kind: str) -> Iterator[Path]:
    """A temporary folder for the block.

    Example:
        >>> with temporary_folder("convert") as folder:
        ...     (folder / "model.tflite").write_bytes(content)

    Args:
        kind: What it is for, in its name.
    """
    folder = TemporaryFolder(kind)
    try:
        yield folder.path
    finally:
        folder.remove()


def sweep(place: Path) -> None:
    """Remove temporary folders whose processes are gone."""
    if fcntl is None:
        return
    for folder in place.glob(f"{PREFIX}*-*"):
        with contextlib.suppress(OSError):
            if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
                continue
            if (folder / _LOCK).exists():
                lock = _locked(folder / _LOCK)
                if lock is None:
                    continue  # its process lives
                shutil.rmtree(folder, ignore_errors=True)
                os.close(lock)
            elif time.time() - folder.stat().st_mtime > _LONGEST_MAKING:
                shutil.rmtree(folder, ignore_errors=True)


def _remove(path: Path, lock: int | None, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the process that needs it
        return
    shutil.rmtree(path, ignore_errors=True)
    if lock is not None:
        os.close(lock)


def _locked(path: Path) -> int | None:
    """A handle that holds the lock on a file, or None where another has it."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    if fcntl is not None:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(handle)
            return None
    return handle

"""HDF5 files, read within bounds: what an array claims is checked before it is read.

An array is as long as its claim says, whatever the file holds: parts that were never written are
filled in, compressed ones are unpacked, and others are read from further files.
"""

import io
import os
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import h5py

from converters.bounded_zip import LARGE, PLAUSIBLE_TIMES

# Of arrays without compression so many bytes may be missing: small ones are stored elsewhere.
_SPARE = 2**16


def check_hdf5(file: h5py.File, size: int, what: str) -> None:
    """Refuse a file whose arrays claim more than it can, or is likely to, hold, or lie elsewhere.

    Args:
        file: Open; no array of it is read.
        size: Its bytes.
        what: What the message calls it.

    Raises:
        ValueError: It is damaged, made to fill memory, or reads other files.
    """
    claimed = 0
    for name, dataset in _datasets(file, what):
        if dataset.is_virtual or dataset.external:
            raise ValueError(
                f"{what}: its array {name!r} lies in another file, which is not read: write the "
                "model anew with model.save"
            )
        claim, stored = dataset.nbytes, dataset.id.get_storage_size()
        filtered = dataset.chunks is not None and dataset.id.get_create_plist().get_nfilters() > 0
        if not filtered and claim > stored + _SPARE:
            raise ValueError(
                f"{what} is damaged: its array {name!r} claims {claim:,} bytes and has {stored:,}"
            )
        claimed += claim
    if claimed > LARGE and claimed > PLAUSIBLE_TIMES * size:
        raise ValueError(
            f"{what} claims {claimed:,} bytes of weights in {size:,}, more than {PLAUSIBLE_TIMES} "
            "times as many: it is damaged, or made to fill memory. Save it again without "
            "compression if you trust it"
        )


def check_hdf5_entry(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> None:
    """The same for a file in an archive.

    Args:
        archive: Open, and checked by `check_zip`.
        entry: The file.
        path: Of the archive.

    Raises:
        ValueError: As `check_hdf5`, or it is no HDF5 file.
    """
    what = f"{entry.filename} in {path}"
    with _opened(archive, entry, path) as content:
        try:
            with h5py.File(content, "r") as file:
                check_hdf5(file, entry.compress_size, what)
        except (OSError, RuntimeError, KeyError) as error:
            raise ValueError(f"{what} cannot be read: {error}") from None


def _datasets(file: h5py.File, what: str) -> Iterator[tuple[str, h5py.Dataset]]:
    """All arrays, each once. Links within the file lead to what is found anyway."""
    groups, seen = [("", file["/"])], set()
    while groups:
        prefix, group = groups.pop()
        for name in group:
            path, link = f"{prefix}/{name}", group.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                raise ValueError(
                    f"{what}: {path!r} is a link to another file, {link.filename!r}, which is not "
                    "read: write the model anew with model.save"
                )
            if isinstance(link, h5py.SoftLink):
                continue
            item = group[name]
            address = h5py.h5o.get_info(item.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(item, h5py.Group):
                groups.append((path, item))
            elif isinstance(item, h5py.Dataset):
                yield path, item


def _opened(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, path: Path) -> BinaryIO:
    """The file in an archive, without unpacking it where it is stored as it is."""
    if entry.compress_type != zipfile.ZIP_STORED:
        return io.BytesIO(archive.read(entry))
    with open(path, "rb") as file:
        file.seek(entry.header_offset + 26)
        lengths = file.read(4)
    name, extra = (int.from_bytes(lengths[i : i + 2], "little") for i in (0, 2))
    return io.BufferedReader(_Part(path, entry.header_offset + 30 + name + extra, entry.file_size))


class _Part(io.RawIOBase):
    """Some bytes of a file as a file.

    Args:
        path: The whole file.
        start: Where they begin.
        size: How many they are.
    """

    def __init__(self, path: Path, start: int, size: int):
        self._file = io.FileIO(path)
        self._start, self._size, self._place = start, size, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        begin = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._size}[whence]
        self._place = max(begin + offset, 0)
        return self._place

    def readinto(self, buffer) -> int:
        count = max(0, min(len(buffer), self._size - self._place))
        self._file.seek(self._start + self._place)
        found = self._file.readinto(memoryview(buffer)[:count])
        self._place += found
        return found

    def close(self) -> None:
        self._file.close()
        super().close()

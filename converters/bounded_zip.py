"""Zip files, read within bounds: what an entry claims is checked before it is unpacked.

`zipfile` gives no more than an entry claims. So a claim that is plausible bounds time and memory.
"""

import zipfile
from collections.abc import Iterable
from pathlib import Path

# Deflate packs at most 1,032 to 1: more is a lie. Stored entries are as long as they are.
_MOST_TIMES = 1032
# Above so many bytes an entry must not be more than so many times smaller packed: text is ten
# to fifty times, and weights and samples less.
LARGE, PLAUSIBLE_TIMES = 2**26, 200


def check_zip_file(path: Path) -> None:
    """Refuse a file that is such a zip; any other file is none of its business.

    Raises:
        ValueError: As in `check_zip`.
    """
    if not zipfile.is_zipfile(path):
        return
    try:
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    except (zipfile.BadZipFile, EOFError, NotImplementedError) as error:
        raise ValueError(f"{path} is damaged: {error}") from None
    check_zip(entries, path.stat().st_size, str(path))


def check_zip(entries: Iterable[zipfile.ZipInfo], size: int, what: str) -> None:
    """Refuse a zip whose entries claim more than can, or is likely to, be packed in it.

    Args:
        entries: Of `ZipFile.infolist()`.
        size: Bytes of the whole file.
        what: What the message calls it.

    Raises:
        ValueError: It is damaged, or made to fill memory.
    """
    entries = list(entries)
    packed = sum(entry.compress_size for entry in entries)
    if packed > size:
        raise ValueError(
            f"{what} is damaged: its parts take {packed:,} bytes of a file of {size:,}"
        )
    for entry in entries:
        claim, packed = entry.file_size, entry.compress_size
        stored = entry.compress_type == zipfile.ZIP_STORED
        if claim > (packed if stored else _MOST_TIMES * packed + 64):
            raise ValueError(
                f"{what} is damaged: its part {entry.filename!r} claims {claim:,} bytes and has "
                f"{packed:,}"
            )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > LARGE and unpacked > PLAUSIBLE_TIMES * size:
        raise ValueError(
            f"{what} unpacks to {unpacked:,} bytes from {size:,}, more than {PLAUSIBLE_TIMES} "
            "times as many: not what a model or samples are. Save it again without compression "
            "if you trust it"
        )

"""The files behind a `.tflite`, as a zip whose end is the file's end."""

import io
import zipfile
from collections.abc import Mapping

from converters.bounded_zip import check_zip

_MOST_FILES = 1024


def attached_files(content: bytes) -> dict[str, bytes]:
    """`{name: content}` of the files behind a `.tflite`; none where there is no zip.

    Raises:
        ValueError: The zip is damaged, or claims more than can be in it.
    """
    if not zipfile.is_zipfile(io.BytesIO(content)):
        return {}
    what = "the zip behind the model"
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            entries = archive.infolist()
            if len(entries) > _MOST_FILES:
                raise ValueError(f"{what} is damaged: it claims {len(entries):,} files")
            check_zip(entries, len(content), what)
            return {entry.filename: archive.read(entry) for entry in entries if not entry.is_dir()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, OSError, RuntimeError) as error:
        raise ValueError(f"{what} is damaged: {error}") from None


def with_files(content: bytes, files: Mapping[str, bytes]) -> bytes:
    """A flatbuffer with files behind it, stored as they are, where a zip reader finds them."""
    if not files:
        return content
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, data in files.items():
            # Without a date of its own, each run would give other bytes.
            archive.writestr(zipfile.ZipInfo(name, (1980, 1, 1, 0, 0, 0)), data)
    return whole.getvalue()

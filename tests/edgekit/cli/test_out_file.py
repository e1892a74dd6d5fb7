import os

import pytest

from edgekit.cli.out_file import out_file


def test_a_file_that_is_read_is_none_to_write(tmp_path):
    old, new = tmp_path / "old.tflite", tmp_path / "new.tflite"
    old.write_bytes(b"old")
    assert out_file(str(new), old) == new
    os.symlink(old, tmp_path / "link")
    for same in (old, tmp_path / "link", tmp_path / "." / ".." / tmp_path.name / "old.tflite"):
        with pytest.raises(ValueError, match="is a file to read, which would be lost"):
            out_file(same, tmp_path / "other", old)


def test_its_folder_must_be_there(tmp_path):
    with pytest.raises(FileNotFoundError, match="no such folder"):
        out_file(tmp_path / "no" / "new.tflite")
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        out_file(tmp_path)

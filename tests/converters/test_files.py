import os

import pytest

from converters.files import place_for_folder, write_whole


def test_writes_over_and_leaves_nothing_beside(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    assert write_whole(path, b"new") == path
    assert path.read_bytes() == b"new"
    write_whole(path, "text é")
    assert path.read_text(encoding="utf-8") == "text é"
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_a_failure_keeps_the_old_file(tmp_path):
    path = tmp_path / "model.tflite"
    path.write_bytes(b"old")
    with pytest.raises(TypeError):
        write_whole(path, 3.5)
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["model.tflite"]


def test_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_whole(tmp_path / "no" / "f", b"")


def test_a_folder_is_no_place_for_a_file_nor_a_file_for_a_folder(tmp_path):
    with pytest.raises(IsADirectoryError, match="name a file in it"):
        write_whole(tmp_path, b"")
    file = write_whole(tmp_path / "f", b"")
    with pytest.raises(NotADirectoryError, match="name a folder"):
        place_for_folder(file)
    assert place_for_folder(tmp_path / "new") == tmp_path / "new"

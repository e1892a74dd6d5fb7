"""Paths on the command line: which files a command reads, and which it writes.

Every path is of one of these types. So one rule holds for all commands, before any work: what is
written is none of the files that are read, and no two results go to one file.
"""

import os
from collections.abc import Callable, Mapping
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem

from converters.file_kinds import KERAS_SUFFIXES

_SAVED_MODEL = ("saved_model.pb", "saved_model.pbtxt")


class _PathType(click.ParamType):
    """A path, completed by the shell."""

    name = "path"
    completes = "file"

    def shell_complete(self, ctx, param, incomplete):
        """Files and folders, by the shell's own means."""
        return [CompletionItem(incomplete, type=self.completes)]


class ReadPath(_PathType):
    """A file that is read.

    Args:
        folder: What a folder may stand for, in words; `None` where it must be a file.
        found_later: Whether it may be missing here, as a program that is looked for on PATH.
    """

    def __init__(self, folder: str | None = None, found_later: bool = False):
        self.folder, self._found_later = folder, found_later

    def convert(self, value, param, ctx) -> str:
        """The path, once it is known to be there."""
        path = Path(value)
        if path.is_dir():
            self._check_folder(path, param)
        elif not path.is_file() and not self._found_later:
            raise FileNotFoundError(f"{_option(param)}no such file: {path}")
        else:
            self._check_file(path, param)
        return os.fspath(value)

    def _check_folder(self, path: Path, param) -> None:
        if self.folder is None:
            raise IsADirectoryError(f"{_option(param)}{path} is a folder: name a file")

    def _check_file(self, path: Path, param) -> None:
        pass


class ReadModel(ReadPath):
    """A model's file, or the folder of a SavedModel.

    Args:
        tflite: Whether a `.tflite` is taken.
        keras: Whether models of Keras are.
    """

    name = "model"

    def __init__(self, tflite: bool = True, keras: bool = True):
        super().__init__(folder="a SavedModel" if keras else None)
        self._tflite, self._keras = tflite, keras

    def _check_folder(self, path, param) -> None:
        if not self._keras:
            raise IsADirectoryError(
                f"{_option(param)}{path} is a folder: a .tflite file is expected"
            )
        if not any((path / name).exists() for name in _SAVED_MODEL):
            raise IsADirectoryError(
                f"{_option(param)}{path} is a folder without saved_model.pb, which a SavedModel "
                "has: name a model's file"
            )

    def _check_file(self, path, param) -> None:
        if not self._keras and path.suffix in KERAS_SUFFIXES:
            raise ValueError(
                f"{_option(param)}{path} is a Keras model, and a .tflite is expected: "
                "edgekit convert makes one of it"
            )
        if not self._tflite and path.suffix == ".tflite":
            raise ValueError(f"{_option(param)}{path} is a .tflite, and a Keras model is expected")


class WritePath(_PathType):
    """A file that is written; its folder is made if missing.

    Args:
        suffix: That it must have. Defaults to any.
        default: What it is where it is not given, from the other parameters.
        may_exist: Whether that default may stand for a file that is there already.
    """

    def __init__(
        self,
        suffix: str | None = None,
        default: Callable[[Mapping[str, Any]], Path] | None = None,
        may_exist: bool = True,
    ):
        self._suffix, self.default, self.may_exist = suffix, default, may_exist

    def convert(self, value, param, ctx) -> str:
        """The path, once a file can be there."""
        path = Path(value)
        if path.is_dir():
            raise IsADirectoryError(f"{_option(param)}{path} is a folder: name a file in it")
        if os.path.lexists(path) and path.exists() and not path.is_file():
            raise ValueError(f"{_option(param)}{path} is a device or a pipe: name a file")
        if self._suffix and path.suffix != self._suffix:
            raise ValueError(f"{_option(param)}{path} must end in {self._suffix}")
        _check_folder_can_be(path.parent, param)
        return os.fspath(value)


class UpdatePath(WritePath):
    """A file that is gone on with: read where it is there, and written."""


class WriteFolder(_PathType):
    """A folder that files are written to; made if missing.

    Args:
        files: Names of these, from the parameters; `*` stands for any letters.
        default: What it is where it is not given, from the other parameters.
    """

    name = "folder"
    completes = "dir"
    may_exist = True

    def __init__(
        self,
        files: Callable[[Mapping[str, Any]], list[str]],
        default: Callable[[Mapping[str, Any]], Path] | None = None,
    ):
        self.files, self.default = files, default

    def convert(self, value, param, ctx) -> str:
        """The path, once a folder can be there."""
        _check_folder_can_be(Path(value), param)
        return os.fspath(value)


class TextType(click.types.StringParamType):
    """What is no path: said, so that no path is forgotten."""


TEXT = TextType()


def settle_defaults(command: click.Command, values: dict[str, Any]) -> None:
    """Fill in the results that were not named.

    Raises:
        ValueError: One of them would replace a file of the user.
    """
    for param in command.params:
        default = getattr(param.type, "default", None)
        if default is None or values.get(param.name) is not None:
            continue
        path = default(values)
        if not param.type.may_exist and os.path.lexists(path):
            raise ValueError(f"{path} exists: name the new file with {_name(param)}")
        param.type.convert(path, param, None)
        values[param.name] = os.fspath(path)


def check_places(command: click.Command, values: Mapping[str, Any]) -> None:
    """Refuse a command that would write over what it reads, or over its own results.

    Files are compared by what they are, not by their names: links, hard links and names that
    differ in case alone are the same file where the system says so.

    Raises:
        ValueError: It would; the message names both options.
    """
    read = _paths(command, values, (ReadPath, UpdatePath))
    results = _paths(command, values, WritePath)
    for at, (param, path) in enumerate(results):
        for other, source in read:
            if other is param:
                continue
            if _same(path, source):
                raise ValueError(
                    f"{_name(param)} {path} is a file to read ({_name(other)} {source}), which "
                    "would be lost: name another"
                )
            if _holds(source, path) and path.exists():
                raise ValueError(
                    f"{_name(param)} {path} is a part of {_name(other)} {source}, which is read, "
                    "and would be lost: name another"
                )
        for other, path_too in results[:at]:
            if _same(path, path_too):
                raise ValueError(
                    f"{_name(param)} and {_name(other)} are the same file, {path}: name two"
                )
    for param, folder in _paths(command, values, WriteFolder):
        names = param.type.files(values)
        for other, source in [*read, *results]:
            if other is not param and _would_replace(folder, names, source):
                raise ValueError(
                    f"{_name(param)} {folder} is where {_name(other)} {source} is, which would be "
                    "replaced: name another folder"
                )


def folders_to_make(command: click.Command, values: Mapping[str, Any]) -> list[Path]:
    """Folders of the results that are not there yet, outer ones first."""
    wanted = [path.parent for _, path in _paths(command, values, WritePath)]
    wanted += [path for _, path in _paths(command, values, WriteFolder)]
    missing = {
        folder for place in wanted for folder in (place, *place.parents) if not folder.exists()
    }
    return sorted(missing, key=lambda folder: len(folder.parts))


def _paths(command, values, kind) -> list[tuple[click.Parameter, Path]]:
    found = []
    for param in command.params:
        value = values.get(param.name)
        several = value if isinstance(value, (list, tuple)) else [value]
        if isinstance(param.type, click.Tuple):  # of an option that may be given several times
            pairs = [pair for each in several for pair in zip(param.type.types, each, strict=True)]
        else:
            pairs = [(param.type, each) for each in several if each is not None]
        found += [(param, Path(each)) for type_, each in pairs if isinstance(type_, kind)]
    return found


def _same(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:  # at least one is not there yet
        return _key(one) == _key(other)


def _key(path: Path) -> str:
    """Names that may be one file on some system have one key."""
    return os.path.realpath(path).casefold()


def _holds(folder: Path, path: Path) -> bool:
    return folder.is_dir() and any(
        parent.exists() and os.path.samefile(parent, folder)
        for parent in Path(os.path.realpath(path)).parents
    )


def _would_replace(folder: Path, names: list[str], path: Path) -> bool:
    """Whether one of the files of these names in the folder is the one at `path`."""
    if _same(folder, path.parent) and any(
        fnmatch(path.name.casefold(), name.casefold()) for name in names
    ):
        return True
    if not folder.is_dir():
        return False
    written = [f for f in folder.iterdir() if any(fnmatch(f.name, name) for name in names)]
    return any(_same(each, path) for each in written)


def _check_folder_can_be(folder: Path, param) -> None:
    place = folder
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise NotADirectoryError(f"{_option(param)}{place} is a file: name a folder")
    if not os.access(place, os.W_OK):
        raise PermissionError(f"{_option(param)}cannot write to the folder {place}")


def _name(param: click.Parameter) -> str:
    if isinstance(param, click.Argument):
        return param.make_metavar(click.Context(click.Command("edgekit"))).strip("[].")
    return max(param.opts, key=len)


def _option(param: click.Parameter | None) -> str:
    """What to begin a message with: the option, or nothing for what stands alone."""
    return f"{_name(param)}: " if isinstance(param, click.Option) else ""

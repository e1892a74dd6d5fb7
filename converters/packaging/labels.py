"""Labels: the names of the classes that an output scores."""

import os
import warnings
from collections.abc import Sequence
from pathlib import Path

from converters.files import existing_file
from converters.metadata import Metadata, TensorMetadata
from converters.packaging.ports import Port, Ports

_MOST_CLASSES = 10_000


def given_labels(
    ports: Ports, labels: Sequence[str] | str | os.PathLike | None, default: bool
) -> tuple[Port, list[str]] | None:
    """The output that scores classes, and their names; None where there are none.

    Args:
        ports: Of the model.
        labels: The names, or a file with one a line; None for `class_0`, `class_1`, ….
        default: Whether to name classes where none are given.

    Raises:
        ValueError: Not as many labels as some output has classes, or a blank one.
        FileNotFoundError: There is no such file.
    """
    scores = [port for port in ports.outputs if _is_scores(port, ports.inputs)]
    if labels is None:
        if not default or len(scores) != 1:
            return None
        return scores[0], [f"class_{i}" for i in range(scores[0].shape[1])]
    labels = _read(labels)
    wide = [p for p in ports.outputs if len(p.shape) == 2 and p.shape[1] == len(labels)]
    if not wide:
        widths = ", ".join(f"{p.name!r} {p.shape[-1] if p.shape else 1}" for p in ports.outputs)
        raise ValueError(
            f"`labels` must hold one label for each class of an output. Received: {len(labels)} "
            f"labels; the outputs' widths: {widths}"
        )
    return wide[0], labels


def labels_by_output(
    ports: Ports, metadata: Metadata, given: tuple[Port, list[str]] | None
) -> dict[str, list[str]]:
    """`{output name: names}` of all outputs that have any: those given, then those of the file.

    Names of a detector's classes are those of its output's values; of all others there is one for
    each place of the last axis.

    Args:
        ports: Of the model.
        metadata: That the file has.
        given: From `given_labels`.
    """
    found = {
        port.name: list(said.labels or said.value_labels)
        for port, said in zip(ports.outputs, metadata.outputs, strict=False)
        if (said.labels or said.value_labels) and _fit(said, port)
    }
    if given is not None:
        found[given[0].name] = given[1]
    return found


def warn_of_misfits(ports: Ports, metadata: Metadata) -> None:
    """Say which names of classes in the file's metadata do not fit their output."""
    for port, said in zip(ports.outputs, metadata.outputs, strict=False):
        if not _fit(said, port):
            warnings.warn(
                f"the file names {len(said.labels)} classes for output {port.name!r}, which has "
                f"{_width(port)} values: they stay in its metadata, and the contract leaves them "
                "out. Give `labels` (--labels) that fit",
                stacklevel=3,
            )


def _fit(said: TensorMetadata, port: Port) -> bool:
    return said.labels is None or len(said.labels) == _width(port)


def _width(port: Port) -> int:
    return port.shape[-1] if port.shape else 1


def _unwritable(text: str) -> bool:
    """Whether it holds halves of characters, as undecodable bytes do."""
    return any("\ud800" <= character <= "\udfff" for character in text)


def _is_scores(port: Port, inputs: Sequence[Port]) -> bool:
    """Whether an output looks like class scores; one of an input's shape is a reconstruction."""
    return (
        len(port.shape) == 2
        and port.shape[0] == 1
        and 2 <= port.shape[1] <= _MOST_CLASSES
        and port.shape not in [i.shape for i in inputs]
    )


def _read(labels: Sequence[str] | str | os.PathLike) -> list[str]:
    source = "`labels`"
    if isinstance(labels, (str, os.PathLike)):
        source = f"`labels` {labels}"
        try:
            lines = Path(existing_file(labels)).read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError:
            raise ValueError(f"{source} is not a text file in UTF-8") from None
    else:
        lines = [str(label) for label in labels]
    lines = [line.strip() for line in lines]
    while lines and not lines[-1]:  # as editors leave them
        lines.pop()
    if not lines:
        raise ValueError(f"{source} holds no labels")
    for number, line in enumerate(lines, 1):
        if not line.isprintable() and _unwritable(line):
            raise ValueError(f"{source}: label {number} cannot be written in UTF-8: {line!a}")
        if not line or len(line.splitlines()) > 1:
            raise ValueError(
                f"{source}: line {number} is blank, which would shift the classes after it: give "
                "every class one line"
                if not line
                else f"{source}: label {number} holds a line break"
            )
    return lines

"""`package`: a folder with a model and all that an app or firmware needs to run it."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from converters.files import place_for_folder, write_whole
from converters.flatbuffer import Flatbuffer
from converters.inspection import inspect
from converters.metadata import read_metadata
from converters.packaging.labels import given_labels, warn_of_misfits
from converters.packaging.normalization import Numbers, given_normalizations
from converters.packaging.ports import read_ports
from converters.packaging.said import Said
from converters.reader import read_model
from converters.samples import Samples

TARGETS = ("android", "mcu")


def package(
    model: Flatbuffer | str | os.PathLike,
    target: str,
    out: str | os.PathLike,
    labels: Sequence[str] | str | os.PathLike | None = None,
    normalization: tuple[Numbers, Numbers] | Mapping[str, tuple[Numbers, Numbers]] | None = None,
    sample: Samples | None = None,
    name: str | None = None,
    signature: str | None = None,
) -> list[Path]:
    """Write a folder with a model, its contract, and code that runs it.

    For `"android"`, the model with metadata, those that it has and what is given here, and a
    Kotlin class on LiteRT. For `"mcu"`, the model
    as a C array, its ops, its measured memory, and a golden vector for TensorFlow Lite Micro. The
    same arguments give the same bytes; other files in the folder stay.

    Example:
        >>> package("model.tflite", "android", "app", labels="labels.txt")
        >>> package("model.tflite", "mcu", "firmware", sample=x_test[:1])

    Args:
        model: A `Flatbuffer`, or the path of a `.tflite` file.
        target: `"android"` or `"mcu"`.
        out: The folder; made if missing.
        labels: Names of the classes, or a file with one a line. Defaults to `None`: those in the
            file's metadata; for Android without metadata, `class_0`, `class_1`, … where an output
            looks like class scores.
        normalization: `(mean, std)` by which data become real inputs, `(x − mean) / std`: numbers
            or one per channel; `{input name: (mean, std)}` for several inputs. Defaults to
            `None`: as the file's metadata say, or not known.
        sample: The golden input of `"mcu"`, as in `Flatbuffer.predict`; the first is taken.
            Defaults to `None`: seeded noise.
        name: What files and code call the model. Defaults to `None`: as its file is called.
        signature: Key of the signature that the package runs, where the file has several: the
            others are left out. Defaults to `None`: the default one, in the whole file if it is
            the first there, which runtimes run that are not told of signatures.

    Returns:
        The files written.

    Raises:
        FileNotFoundError: There is no such file.
        NotADirectoryError: `out` is a file.
        ValueError: An unknown target or signature, not a LiteRT model, labels or numbers that do
            not fit it, or one that the target cannot run; the message says why.
        ImportError: `"mcu"` without tflite-micro.
    """
    if target not in TARGETS:
        raise ValueError(f"`target` must be one of {TARGETS}. Received: target={target!r}")
    if sample is not None and target != "mcu":
        raise ValueError("`sample` is for the golden vector of target 'mcu': leave it out")
    inspect(model)  # names a damaged file
    source = model if isinstance(model, Flatbuffer) else Flatbuffer.from_file(model)
    stem = _stem(model, name)
    metadata = read_metadata(source.content)
    if signature is not None or not _runs_first(source):
        of_first = read_model(source.content, signature).subgraph == 0
        source = source.only(signature)  # whose metadata stay if they are of its subgraph
        metadata = metadata if of_first else read_metadata(source.content)
    ports = read_ports(source.content)
    normalizations = given_normalizations(ports, normalization)
    # A file that says something of itself says what it wants to.
    scores = given_labels(ports, labels, default=target == "android" and not metadata.tree)
    warn_of_misfits(ports, metadata)
    said = Said(metadata, normalizations, scores)
    folder = place_for_folder(out)
    if target == "android":
        from converters.packaging.android import android_files

        _check_place(model, folder / f"{stem}.tflite")
        files = android_files(stem, source, ports, said)
    else:
        from converters.packaging.mcu import mcu_files

        files = mcu_files(stem, source, ports, said, sample)
    folder.mkdir(parents=True, exist_ok=True)
    return [write_whole(folder / file, content) for file, content in files.items()]


def _runs_first(source: Flatbuffer) -> bool:
    """Whether the default signature is the first of the file, and its subgraph too."""
    model = read_model(source.content)
    first = model.signature is None or model.signatures[0].key == model.signature.key
    return first and model.subgraph == 0


def _stem(model, name: str | None) -> str:
    if name is None:
        return "model" if isinstance(model, Flatbuffer) else Path(model).stem
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name, re.ASCII):
        raise ValueError(
            f"`name` must be an identifier of C: letters, digits and _. Received: name={name!r}"
        )
    return name


def _check_place(model, path: Path) -> None:
    if not isinstance(model, Flatbuffer) and Path(model).resolve() == path.resolve():
        raise ValueError(
            f"`out` {path.parent} holds the model itself, which would be overwritten: give another "
            "folder"
        )

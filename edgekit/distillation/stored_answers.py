"""A teacher's answers on disk: it is asked once for each sample."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from edgekit.distillation.taught import Taught

_FACTS = "facts.json"
# Samples that tell one set of data from another.
_PROBED = 64
# Answers of the same teacher differ by so much between machines.
_CLOSE = 1e-3


def array_answers(distiller, x, y, folder: Path, batch_size: int, verbose: bool) -> Taught:
    """The inputs with the answers to them, from `folder` or made and put there.

    Args:
        distiller: Whose teacher is asked.
        x: Arrays, in the structure the student takes.
        y: Labels, for a teacher that asks for them; or None.
        folder: Where answers are kept, as one `.npy` each.
        batch_size: Samples that the teacher is asked about at once.
        verbose: Whether to show progress.
    """
    inputs = tree.map_structure(np.asarray, x)
    counts = {len(array) if array.ndim else 0 for array in tree.flatten(inputs)}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(
            "`data` must be arrays with as many samples each, one at least, or a tf.data set"
        )
    (count,) = counts
    ask = _asking(distiller)

    def batch(start, end):
        given = tree.map_structure(lambda array: array[start:end], inputs)
        return ask(given, None if y is None else np.asarray(y)[start:end])

    probe = batch(0, min(count, _PROBED))
    facts = {"samples": count, "data": _fingerprint(inputs, count), "answers": sorted(probe)}
    if not _same_facts(folder, facts) or not _same_answers(folder, probe):

        def write(place: Path) -> None:
            files = {
                name: np.lib.format.open_memmap(
                    place / _file(name), "w+", probe[name].dtype, (count, *probe[name].shape[1:])
                )
                for name in probe
            }
            bar = keras.utils.Progbar(count, verbose=int(verbose), unit_name="sample")
            for start in range(0, count, batch_size):
                end = min(count, start + batch_size)
                for name, values in batch(start, end).items():
                    files[name][start:end] = values
                bar.update(end)
            for file in files.values():
                file.flush()

        _write_folder(folder, facts, write)
    return Taught(inputs, {name: np.load(folder / _file(name), "r") for name in probe})


def dataset_answers(distiller, dataset, folder: Path, verbose: bool) -> tf.data.Dataset:
    """The batches with the answers to their inputs, from `folder` or made and put there.

    Args:
        distiller: Whose teacher is asked.
        dataset: Of batches `(x, y)` or `(x, y, sample_weight)`.
        folder: Where they are kept, as `tf.data` saves them.
        verbose: Whether to say that it takes its time.
    """
    first = next(iter(dataset), None)
    if not isinstance(first, tuple):
        raise ValueError("`data` must be a tf.data set of batches (x, y), with one at least")
    taught = dataset.map(lambda x, *rest: (Taught(x, distiller.answers(x, *rest[:1])), *rest))
    probe = _asking(distiller)(first[0], first[1] if len(first) > 1 else None)
    specification = str(dataset.element_spec)
    count = int(dataset.cardinality())
    facts = {"batches": count, "data": specification, "answers": sorted(probe)}
    if not _same_facts(folder, facts) or not _first_is(folder / "batches", probe):
        if verbose:
            print(f"asking the teacher about each batch once, into {folder}", flush=True)
        _write_folder(folder, facts, lambda place: taught.save(str(place / "batches")))
    loaded = tf.data.Dataset.load(str(folder / "batches"))
    return loaded.map(lambda x, *rest: (Taught(*x), *rest))  # loaded, it is some named tuple


def _asking(distiller):
    """The teacher's answers to a batch as NumPy arrays."""
    ask = tf.function(distiller.answers, reduce_retracing=True)

    def answers(inputs, labels):
        found = ask(tree.map_structure(tf.convert_to_tensor, inputs), labels)
        return {name: ops.convert_to_numpy(value) for name, value in found.items()}

    return answers


def _fingerprint(inputs, count: int) -> str:
    places = np.unique(np.linspace(0, count - 1, _PROBED).astype(int))
    found = hashlib.sha256()
    for array in tree.flatten(inputs):
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array[places]).tobytes())
    return found.hexdigest()


def _same_facts(folder: Path, facts: dict) -> bool:
    try:
        return json.loads((folder / _FACTS).read_text()) == facts
    except (OSError, ValueError):
        return False


def _same_answers(folder: Path, probe: dict[str, np.ndarray]) -> bool:
    """Whether the teacher is the one that was asked."""
    try:
        stored = {name: np.load(folder / _file(name), "r")[: len(v)] for name, v in probe.items()}
    except (OSError, ValueError):
        return False
    return _alike(stored, probe)


def _first_is(path: Path, probe: dict[str, np.ndarray]) -> bool:
    try:
        stored = next(iter(tf.data.Dataset.load(str(path))))[0].answers
    except (tf.errors.OpError, OSError, ValueError, StopIteration):
        return False
    return _alike({name: ops.convert_to_numpy(value) for name, value in stored.items()}, probe)


def _alike(stored: dict, probe: dict) -> bool:
    return set(stored) == set(probe) and all(
        stored[name].shape == values.shape
        and np.allclose(stored[name], values, rtol=_CLOSE, atol=_CLOSE)
        for name, values in probe.items()
    )


def _write_folder(folder: Path, facts: dict[str, Any], write) -> None:
    """Fill a folder beside `folder`, then put it in its place: whole, or not at all."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / _FACTS).exists():
        raise ValueError(f"`folder` {folder} holds something else: name an empty one, or a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    aside = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        write(aside)
        (aside / _FACTS).write_text(json.dumps(facts))
        if folder.exists():
            shutil.rmtree(folder)
        os.replace(aside, folder)
    except BaseException:
        shutil.rmtree(aside, ignore_errors=True)
        raise


def _file(name: str) -> str:
    """A name for the answer's file; layer paths have slashes."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"

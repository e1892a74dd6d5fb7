"""A teacher's answers on disk: it is asked once for each sample."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from edgekit.distillation.function_teacher import FunctionTeacher
from edgekit.distillation.taught import Taught

# Tells a folder of answers from all others.
_FACTS = "edgekit_answers.json"
_VERSION = 1
# Answers that tell one function from another.
_PROBED = 64


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
    labels = None if y is None else np.asarray(y)
    ask = _asking(distiller)

    def some(places):
        given = tree.map_structure(lambda array: array[places], inputs)
        return ask(given, None if labels is None else labels[places])

    probe = some(np.unique(np.linspace(0, count - 1, _PROBED).astype(int)))
    data = _digest([*tree.flatten(inputs), *([] if labels is None else [labels])])
    facts = _facts(distiller, probe, {"samples": count, "data": data})
    if _stored_facts(folder) != facts:

        def write(place: Path) -> None:
            files = {
                name: np.lib.format.open_memmap(
                    place / _file(name), "w+", values.dtype, (count, *values.shape[1:])
                )
                for name, values in probe.items()
            }
            bar = keras.utils.Progbar(count, verbose=int(verbose), unit_name="sample")
            for start in range(0, count, batch_size):
                end = min(count, start + batch_size)
                for name, values in some(slice(start, end)).items():
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
    if int(dataset.cardinality()) == tf.data.INFINITE_CARDINALITY:
        raise ValueError("`data` never ends: `.take(batches)` of it")
    found, batches, probe = hashlib.sha256(), 0, None
    for batch in dataset:
        if not isinstance(batch, tuple):
            raise ValueError("`data` must be a tf.data set of batches (x, y)")
        if probe is None:
            probe = _asking(distiller)(batch[0], batch[1] if len(batch) > 1 else None)
        arrays = tree.map_structure(ops.convert_to_numpy, batch)
        found.update(_digest(tree.flatten(arrays)).encode())
        batches += 1
    if probe is None:
        raise ValueError("`data` must be a tf.data set with one batch at least")
    facts = _facts(distiller, probe, {"batches": batches, "data": found.hexdigest()})
    if _stored_facts(folder) != facts:
        if verbose:
            print(f"asking the teacher about {batches} batches, into {folder}", flush=True)
        taught = dataset.map(lambda x, *rest: (Taught(x, distiller.answers(x, *rest[:1])), *rest))
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


def _facts(distiller, probe: dict[str, np.ndarray], about: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same for stored answers to be these."""
    teacher = distiller.teacher
    if isinstance(teacher, FunctionTeacher):  # which shows nothing of itself but answers
        asked = [np.round(values, 3) for _, values in sorted(probe.items())]
        told = _digest(asked)
    else:
        settings = json.dumps(teacher.get_config(), sort_keys=True, default=repr)
        told = _digest(teacher.get_weights()) + hashlib.sha256(settings.encode()).hexdigest()
    return {"version": _VERSION, "teacher": told, "answers": sorted(probe), **about}


def _digest(arrays: list[np.ndarray]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(array.astype(str).tobytes() if array.dtype == object else array.tobytes())
    return found.hexdigest()


def _stored_facts(folder: Path) -> dict | None:
    try:
        return json.loads((folder / _FACTS).read_text())
    except (OSError, ValueError):
        return None


def _write_folder(folder: Path, facts: dict[str, Any], write: Callable[[Path], None]) -> None:
    """Fill a folder beside `folder`, then put it in its place: whole, or not at all."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file: name a folder")
    if folder.exists() and any(folder.iterdir()) and not (folder / _FACTS).exists():
        raise ValueError(f"`folder` {folder} holds something else: name an empty one, or a new one")
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}.") as aside:
        new = Path(aside) / "new"
        new.mkdir()
        write(new)
        (new / _FACTS).write_text(json.dumps(facts))
        if folder.exists():
            os.replace(folder, Path(aside) / "old")
        shutil.move(new, folder)


def _file(name: str) -> str:
    """A name for the answer's file; layer paths have slashes."""
    return f"{hashlib.sha256(name.encode()).hexdigest()[:16]}.npy"

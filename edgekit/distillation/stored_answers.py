"""A teacher's answers on disk: it is asked once for each sample."""

import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
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
_VERSION = 3
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
    if isinstance(x, (keras.utils.PyDataset, Iterator)):
        raise TypeError(
            f"`data` must be arrays or a tf.data set of batches. Received: {type(x).__name__}"
        )
    inputs = tree.map_structure(np.asarray, x)
    counts = {len(array) if array.ndim else 0 for array in tree.flatten(inputs)}
    if len(counts) != 1 or counts == {0}:
        raise ValueError(
            "`data` must be arrays with as many samples each, one at least, or a tf.data set"
        )
    _check_number(distiller.student, inputs)
    (count,) = counts
    labels = None if y is None else np.asarray(y)
    ask = _asking(distiller)

    def some(places):
        given = tree.map_structure(lambda array: array[places], inputs)
        return ask(given, None if labels is None else labels[places])

    probe = some(np.unique(np.linspace(0, count - 1, _PROBED).astype(int)))
    data = _digest([*tree.flatten(inputs), *([] if labels is None else [labels])])
    facts = _facts(distiller, probe, {"samples": count, "data": data})
    if not _is_stored(folder, facts, verbose):

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
    answers = {name: np.load(folder / _file(name), "r") for name in probe}
    mark = np.zeros((count, 1), "uint8")
    return Taught(inputs, {**answers, mark_of(facts["teacher"]): mark})


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
    if not _is_stored(folder, facts, verbose):
        if verbose:
            print(f"asking the teacher about {batches} batches, into {folder}", flush=True)
        taught = dataset.map(lambda x, *rest: (Taught(x, distiller.answers(x, *rest[:1])), *rest))
        _write_folder(folder, facts, lambda place: taught.save(str(place / "batches")))
    name = mark_of(facts["teacher"])

    def marked(x, *rest):
        inputs, answers = x  # loaded, it is some named tuple
        samples = tf.shape(tree.flatten(inputs)[0])[0]
        return Taught(inputs, {**answers, name: tf.zeros((samples, 1), tf.uint8)}), *rest

    return tf.data.Dataset.load(str(folder / "batches")).map(marked)


def mark_of(teacher: str) -> str:
    """The name of an answer, all zeros, that says whose the others are."""
    return f"of teacher {teacher[:16]}"


def _asking(distiller):
    """The teacher's answers to a batch as NumPy arrays."""
    ask = distiller.answers
    if not isinstance(distiller.teacher, FunctionTeacher):  # which may use TensorFlow itself
        ask = tf.function(ask, reduce_retracing=True)

    def answers(inputs, labels):
        found = ask(tree.map_structure(tf.convert_to_tensor, inputs), labels)
        return {name: ops.convert_to_numpy(value) for name, value in found.items()}

    return answers


def _facts(distiller, probe: dict[str, np.ndarray], about: dict[str, Any]) -> dict[str, Any]:
    """What has to be the same for stored answers to be these."""
    told = identity_of(distiller)
    if told is None:  # a function shows nothing of itself but answers
        told = _digest([np.round(values, 3) for _, values in sorted(probe.items())])
        distiller.asked.add(told)
    return {"version": _VERSION, "teacher": told, "answers": sorted(probe), **about}


def identity_of(distiller) -> str | None:
    """What tells a distiller's teacher, as it is now, from all others; None of a function."""
    teacher = distiller.teacher
    names = distiller.output_names, distiller.teacher_places, teacher.name
    compared = repr((distiller.teacher_activation, *names))
    if isinstance(teacher, FunctionTeacher):
        if not isinstance(teacher.content, bytes):
            return None
        settings, weights = hashlib.sha256(teacher.content).hexdigest(), []
    else:
        weights = teacher.get_weights()
        try:
            settings = json.dumps(teacher.get_config(), sort_keys=True, default=repr)
        except Exception:  # a subclassed model need not have any
            settings = type(teacher).__qualname__
    return hashlib.sha256(f"{compared} {settings} {_digest(weights)}".encode()).hexdigest()


def _digest(arrays: list[np.ndarray]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        array = np.asarray(array)
        found.update(f"{array.dtype} {array.shape}".encode())
        found.update(array.astype(str).tobytes() if array.dtype == object else array.tobytes())
    return found.hexdigest()


def _is_stored(folder: Path, facts: dict[str, Any], verbose: bool) -> bool:
    """Whether the folder has the answers; if it has others, why they are asked for anew."""
    stored = _stored_facts(folder)
    if stored == facts:
        return True
    if verbose and stored is not None:
        same = stored.get("teacher") == facts["teacher"]
        why = "other data, or the same in another order (shuffle behind `ask_once`)"
        print(f"{folder} has answers {'to ' + why if same else 'of another teacher'}: asking anew")
    return False


def _check_number(student: keras.Model, inputs) -> None:
    """Refuse what is not as many arrays as the student has inputs: labels among them, say."""
    expected, given = len(getattr(student, "inputs", None) or ()), len(tree.flatten(inputs))
    if expected and given != expected:
        raise ValueError(
            f"`data` has {given} arrays, and the student {expected} inputs: pass x alone; labels "
            "go to `fit`, or to `labels` for a teacher that asks for them"
        )


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

"""A process for TensorFlow Lite Micro: `python -m converters.packaging.arena_run FOLDER`.

Runs `model.tflite` on `inputs.npz` as `job.json` says, and leaves `outputs.npz`, `result.json` and
`said.txt`, what native code wrote to standard error. The job may ask for the smallest arena in
which the model runs.
"""

import json
import os
import re
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

# Seconds of a try, should the process that waits for it be gone.
_PATIENCE = 60


def run(folder: Path) -> None:
    """Do the job in a folder."""
    from tflite_micro.python.tflite_micro import runtime

    job = json.loads((folder / "job.json").read_text())
    with np.load(folder / "inputs.npz") as loaded:
        inputs = [loaded[f"v{i}"] for i in range(len(loaded.files))]
    # It writes to the descriptor: sys.stderr does not see that.
    os.dup2(os.open(folder / "said.txt", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), 2)
    try:
        interpreter = runtime.Interpreter.from_file(
            os.fspath(folder / "model.tflite"), arena_size=job["arena"]
        )
        rows, untouched = [[] for _ in range(job["outputs"])], None
        for batch in _batches(inputs, job["runs"]):
            for index, values in enumerate(batch):
                interpreter.set_input(values, index)
            if untouched is None:
                untouched = {
                    f"u{i}": np.array(interpreter.get_output(i)) for i in range(job["outputs"])
                }
            interpreter.invoke()
            for index, found in enumerate(rows):
                found.append(np.array(interpreter.get_output(index)))
        outputs = {f"v{i}": _joined(found) for i, found in enumerate(rows)}
        interpreter.print_allocations()
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        result = {"error": str(error) or type(error).__name__}
    else:
        np.savez(folder / "outputs.npz", **outputs, **untouched)
        result = _sizes((folder / "said.txt").read_text(errors="replace"))
        content, first = (folder / "model.tflite").read_bytes(), _batches(inputs, job["runs"])[0]
        result["least"] = job["arena"]
        if job["search"]:
            result["least"] = least_that_runs(
                lambda arena: _runs_in(content, first, arena),
                result["total"],
                job["arena"],
                job["search"],
            )
    (folder / "result.json").write_text(json.dumps(result))


def least_that_runs(runs: Callable[[int], bool], start: int, enough: int, step: int) -> int:
    """The least size, a multiple of the step, in which something runs.

    Args:
        runs: Whether it runs in so many bytes.
        start: Bytes from which to search upwards.
        enough: Bytes in which it is known to run.
        step: Bytes of a step.
    """
    first = last = -(-start // step)
    ahead = 1
    while last * step < enough and not runs(last * step):
        first, last, ahead = last + 1, last + ahead, 2 * ahead
    while first < last:
        middle = (first + last) // 2
        if runs(middle * step):
            last = middle
        else:
            first = middle + 1
    return last * step


def _runs_in(content: bytes, inputs: list[np.ndarray], arena: int) -> bool:
    """Whether the model runs in an arena of so many bytes: native code may abort where not."""
    from tflite_micro.python.tflite_micro import runtime

    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1] == 0
    try:
        signal.alarm(_PATIENCE)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
        interpreter = runtime.Interpreter.from_bytes(content, arena_size=arena)
        for index, values in enumerate(inputs):
            interpreter.set_input(values, index)
        interpreter.invoke()
    except BaseException:
        os._exit(1)
    os._exit(0)


def _batches(inputs: list[np.ndarray], runs: int) -> list[list[np.ndarray]]:
    if runs == 1:
        return [inputs]
    parts = [np.split(values, runs) for values in inputs]
    return [list(batch) for batch in zip(*parts, strict=True)]


def _joined(found: list[np.ndarray]) -> np.ndarray:
    return found[0] if len(found) == 1 else np.concatenate(found)


def _sizes(said: str) -> dict[str, int]:
    found = re.findall(r"Arena allocation (head|tail|total) (\d+) bytes", said)
    return {name: int(size) for name, size in found}


if __name__ == "__main__":
    run(Path(sys.argv[1]))

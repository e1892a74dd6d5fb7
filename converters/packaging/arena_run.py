"""A process for TensorFlow Lite Micro: `python -m converters.packaging.arena_run FOLDER`.

Runs `model.tflite` on `inputs.npz` as `job.json` says, and leaves `outputs.npz`, `result.json` and
`said.txt`, what native code wrote to standard error.
"""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np


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
        rows = [[] for _ in range(job["outputs"])]
        for batch in _batches(inputs, job["runs"]):
            for index, values in enumerate(batch):
                interpreter.set_input(values, index)
            interpreter.invoke()
            for index, found in enumerate(rows):
                found.append(np.array(interpreter.get_output(index)))
        outputs = {f"v{i}": _joined(found) for i, found in enumerate(rows)}
        interpreter.print_allocations()
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        result = {"error": str(error) or type(error).__name__}
    else:
        np.savez(folder / "outputs.npz", **outputs)
        result = _sizes((folder / "said.txt").read_text(errors="replace"))
    (folder / "result.json").write_text(json.dumps(result))


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

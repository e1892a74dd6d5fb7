"""Running a model that may crash native code, or never end, where that harms nobody."""

import atexit
import json
import os
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path
from threading import Lock

import numpy as np

from converters.child import Child, ChildError
from converters.runner import Tensor

# Seconds that loading a model, and each invocation, may take.
PATIENCE = 60


def run_isolated(
    content: bytes, kernels: str, method: str, arrays: Mapping[str, np.ndarray]
) -> dict[str, Tensor]:
    """What a method of `Runner` gives for a model, run in a process of its own.

    Args:
        content: The bytes of a `.tflite`.
        kernels: Out of `KERNELS`.
        method: `"outputs"` or `"tensors"`.
        arrays: `{input name: (samples, ...)}`, whole batches.

    Raises:
        ValueError: LiteRT refuses the model, crashes on it, or does not come to an end.
    """
    with tempfile.TemporaryDirectory(prefix="edgekit-run-") as temporary:
        folder = Path(temporary)
        (folder / "model.tflite").write_bytes(content)
        np.savez(folder / "inputs.npz", **arrays)
        job = {"folder": temporary, "kernels": kernels, "method": method, "patience": PATIENCE}
        status = _ask(job)
        if status == signal.SIGALRM:
            raise ValueError(
                f"LiteRT did not finish running this model within {PATIENCE} s: it is damaged, or "
                "far too large"
            )
        if status:
            how = signal.Signals(status).name if status > 0 else f"exit code {-status}"
            raise ValueError(
                f"LiteRT crashed on this model ({how}): the file is damaged, or uses what this "
                "version of LiteRT cannot run"
            )
        result = json.loads((folder / "result.json").read_text())
        if "error" in result:
            raise ValueError(result["error"])
        with np.load(folder / "values.npz") as values:
            return {
                name: Tensor(values[f"v{i}"], scale)
                for i, (name, scale) in enumerate(result["tensors"])
            }


class _Worker:
    """The process that forks one for each run; started once, as that takes half a second."""

    def __init__(self):
        self.child: Child | None = None
        self.owner = 0
        self.lock = Lock()

    def ask(self, job: dict) -> int:
        with self.lock:
            try:
                return self._answer(job)
            except ChildError:  # somebody killed it while it waited for a job
                self.close()
                return self._answer(job)
            except BaseException:  # interrupted: its answer would be taken for the next one's
                self.close()
                raise

    def _answer(self, job: dict) -> int:
        if self.child is None or self.owner != os.getpid():  # or it is that of a forked parent
            self.child, self.owner = Child("converters.isolated_run"), os.getpid()
        return int(self.child.ask(json.dumps(job)))

    def close(self) -> None:
        if self.child is not None and self.owner == os.getpid():
            self.child.__exit__()
        self.child = None


_worker = _Worker()
_ask = _worker.ask
atexit.register(_worker.close)

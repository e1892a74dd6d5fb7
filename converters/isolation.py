"""Running a model that may crash native code, or never end, where that harms nobody."""

import json
import signal
import tempfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from converters.child import ChildError
from converters.fork_server import ForkServer
from converters.runner import Tensor

# Seconds that loading a model, and each invocation, may take.
PATIENCE = 60
SERVER = ForkServer("converters.isolated_run")


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
        try:
            status = SERVER.run(job)
        except ChildError as error:
            raise ValueError(f"the process that runs models failed: {error}") from None
        if status == -signal.SIGALRM:
            raise ValueError(
                f"LiteRT did not finish running this model within {PATIENCE} s: it is damaged, or "
                "far too large"
            )
        if status:
            how = signal.Signals(-status).name if status < 0 else f"exit code {status}"
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

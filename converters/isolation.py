"""Running a model that may crash native code, or never end, where that harms nobody."""

import json
import signal
from collections.abc import Mapping

import numpy as np

from converters.array_files import load_arrays, save_arrays
from converters.child import ChildError
from converters.fork_server import ForkServer
from converters.runner import Tensor
from converters.temporary import temporary_folder

# Seconds that loading a model, and each invocation, may take.
PATIENCE = 60
SERVER = ForkServer("converters.isolated_run")


def run_isolated(
    content: bytes,
    kernels: str,
    method: str,
    arrays: Mapping[str, np.ndarray],
    signature: str | None = None,
) -> dict[str, Tensor]:
    """What a method of `Runner` gives for a model, run in a process of its own.

    Args:
        content: The bytes of a `.tflite`.
        kernels: Out of `KERNELS`.
        method: `"outputs"` or `"tensors"`.
        arrays: `{input name: (samples, ...)}`, whole batches.
        signature: Key of the signature to run. Defaults to `None`, the default one.

    Raises:
        ValueError: LiteRT refuses the model, crashes on it, or does not come to an end.
    """
    with temporary_folder("run") as folder:
        (folder / "model.tflite").write_bytes(content)
        save_arrays(folder / "inputs.npz", arrays)
        job = {
            "folder": str(folder),
            "kernels": kernels,
            "method": method,
            "signature": signature,
            "patience": PATIENCE,
        }
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
        values = load_arrays(folder / "values.npz")
        return {name: Tensor(values[name], scale) for name, scale in result["tensors"]}

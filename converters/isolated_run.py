"""A process that runs models for another: `python -m converters.isolated_run`.

A job has a `folder` with `model.tflite` and `inputs.npz`, and names `kernels`, `method`,
`signature` and `patience`; it leaves `result.json` and `values.npz` there.
"""

import json
import os
import signal
from pathlib import Path

from ai_edge_litert import interpreter  # noqa: F401 - loaded once, for all forks

from converters.array_files import load_arrays, save_arrays
from converters.flatbuffer_tables import DAMAGE
from converters.forked_jobs import serve
from converters.runner import Runner


def run(folder: Path, kernels: str, method: str, signature: str | None, patience: int) -> None:
    """Do a job, and die by SIGALRM where it does not come to an end."""
    signal.alarm(patience)
    _limit_memory()
    arrays = load_arrays(folder / "inputs.npz")
    try:
        content = (folder / "model.tflite").read_bytes()
        runner = Runner(content, kernels, method == "tensors", signature)
        found = getattr(runner, method)(arrays, lambda: signal.alarm(patience))
    except (RuntimeError, *DAMAGE) as error:
        result = {"error": str(error) or f"LiteRT cannot run this model: {type(error).__name__}"}
    else:
        save_arrays(folder / "values.npz", {name: found[name].values for name in found})
        result = {"tensors": [(name, tensor.scale) for name, tensor in found.items()]}
    (folder / "result.json").write_text(json.dumps(result))


def _limit_memory() -> None:
    """No more than the machine has: a damaged shape may ask for any amount."""
    import resource

    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


if __name__ == "__main__":
    serve(run)

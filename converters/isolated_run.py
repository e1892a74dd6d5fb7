"""A process that runs models for another: `python -m converters.isolated_run`.

Reads one job a line, as JSON: `folder` (with `model.tflite` and `inputs.npz`), `kernels`,
`method`, `patience`. A fork of this process does it and leaves `result.json` and `values.npz`
there; the answer is one line with the signal that killed it, or 0.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert import interpreter  # noqa: F401 - loaded once, for all forks

from converters.reader import DAMAGE
from converters.runner import Runner


def run(folder: Path, kernels: str, method: str, patience: int) -> None:
    """Do a job, and die by SIGALRM where it does not come to an end."""
    signal.alarm(patience)
    _limit_memory()
    with np.load(folder / "inputs.npz") as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    try:
        content = (folder / "model.tflite").read_bytes()
        runner = Runner(content, kernels, keep_tensors=method == "tensors")
        found = getattr(runner, method)(arrays, lambda: signal.alarm(patience))
    except (RuntimeError, *DAMAGE) as error:
        result = {"error": str(error) or f"LiteRT cannot run this model: {type(error).__name__}"}
    else:
        values = {f"v{i}": tensor.values for i, tensor in enumerate(found.values())}
        np.savez(folder / "values.npz", **values)
        result = {"tensors": [(name, tensor.scale) for name, tensor in found.items()]}
    (folder / "result.json").write_text(json.dumps(result))


def _limit_memory() -> None:
    """No more than the machine has: a damaged shape may ask for any amount."""
    import resource

    most = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def _fork_and_run(job: dict) -> int:
    child = os.fork()
    if child == 0:
        code = 1
        try:
            run(Path(job.pop("folder")), **job)
            code = 0
        finally:
            os._exit(code)
    _, status = os.waitpid(child, 0)
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else -os.WEXITSTATUS(status)


def main() -> None:
    """Do jobs until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):  # where LiteRT talks
        os.dup2(null, stream)
    for line in sys.stdin:
        print(_fork_and_run(json.loads(line)), file=answers)


if __name__ == "__main__":
    main()

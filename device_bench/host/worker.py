"""One measurement in a fresh process: `python -m device_bench.host.worker JOB.json`.

Imports only NumPy and LiteRT, so that its memory is that of an app that runs the model. Prints
one line of JSON.
"""

import gc
import json
import os
import sys
import time

from converters.messages import answer
from device_bench.host.machine import Watch, growth, limited_memory, memory


def main(job: dict) -> dict:
    """Load, warm up and time one model.

    Args:
        job: `model` (path), `inputs` (path of an `.npz` with real values, or None), `seed`,
            `kernels`, `threads`, `batch`, `runtime`, `signature` (its key, or None for the default
            one), `shapes` (of inputs in one run, by name), `step` (samples in one run; None where
            they are one run), `cores` (list or None), `warmup_seconds`,
            `windows`, `seconds`, `min_runs`, `longest`, `computed`, the tensors of the file that
            are not constant, and `tensors`, how many the file has.

    Returns:
        Phases in microseconds, memory in bytes, what disturbed it, and the windows of steady runs.
    """
    if job["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    clock = time.perf_counter_ns
    started = clock()

    from converters.array_files import load_arrays
    from device_bench.host.feeding import batches
    from device_bench.host.sessions import SESSIONS
    from device_bench.host.steady import warm_up, window

    kind = SESSIONS[job["runtime"]]
    kind.prepare(job["model"], job["signature"])
    imported = clock()
    samples = job["inputs"] and load_arrays(
        job["inputs"]
    )  # before: they are no memory of the model
    bare, begun = memory(), clock()
    session = kind(job["model"], job["kernels"], job["threads"], job["signature"])
    loaded = clock()
    session.allocate(job["shapes"])
    allocated, ready = clock(), memory()
    fed = batches(session.inputs, samples, job["step"], job["seed"])
    turn, filled = 0, memory()

    def run() -> int:
        nonlocal turn
        session.feed(fed[turn % len(fed)])
        turn += 1
        start = clock()
        session.invoke()
        return clock() - start

    first, ran = run(), memory()
    found = {
        "import_us": (imported - started) / 1e3,
        "load_us": (loaded - begun) / 1e3,
        "allocate_us": (allocated - loaded) / 1e3,
        "first_us": first / 1e3,
        "windows": [],
    }
    gc.collect()
    gc.disable()
    for _ in range(job["windows"]):
        warm, watch = warm_up(run, job["warmup_seconds"]), Watch(job["cores"])
        steady = window(run, job["seconds"], job["min_runs"], job["longest"])
        found["windows"].append({**warm, **watch.stop(), **steady})
    found["memory"] = {
        "arena": session.arena(job["computed"], job["tensors"]),
        "peak": memory()["peak"],
        **{
            name: _sum(growth(ready, bare, figure), growth(ran, filled, figure))
            for name, figure in (("grown_anonymous", "anonymous"), ("grown", "total"))
        },
    }
    return found


def _sum(*parts: int | None) -> int | None:
    return None if None in parts else sum(parts)


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        given = json.load(file)
    with limited_memory(given["memory"]):
        answer(json.dumps(main(given)))

"""One measurement in a fresh process: `python -m device_bench.host.worker JOB.json`.

Imports only NumPy and LiteRT, so that its memory is that of an app that runs the model. Prints
one line of JSON.
"""

import gc
import json
import os
import sys
import time

from device_bench.host.machine import Watch, limited_memory, memory


def main(job: dict) -> dict:
    """Load, warm up and time one model.

    Args:
        job: `model` (path), `inputs` (path of an `.npz` with real values, or None), `seed`,
            `kernels`, `threads`, `batch`, `runtime`, `cores` (list or None), `warmup_seconds`,
            `windows`, `seconds`, `min_runs`, `max_runs`, and `computed`, the tensors that are not
            constant.

    Returns:
        Phases in microseconds, memory in bytes, what disturbed it, and the windows of steady runs.
    """
    if job["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    clock = time.perf_counter_ns
    started = clock()
    import ai_edge_litert.interpreter

    from device_bench.host.feeding import batches
    from device_bench.host.sessions import SESSIONS
    from device_bench.host.steady import warm_up, window

    if job["runtime"] == "compiled":
        import ai_edge_litert.compiled_model  # noqa: F401
    imported, bare = clock(), memory()
    session = SESSIONS[job["runtime"]](job["model"], job["kernels"], job["threads"])
    loaded = clock()
    session.allocate(job["batch"])
    allocated = clock()
    fed = batches(session.inputs, job["inputs"], job["seed"])
    turn = 0

    def run() -> int:
        nonlocal turn
        session.feed(fed[turn % len(fed)])
        turn += 1
        start = clock()
        session.invoke()
        return clock() - start

    first, ready = run(), memory()
    found = {
        "import_us": (imported - started) / 1e3,
        "load_us": (loaded - imported) / 1e3,
        "allocate_us": (allocated - loaded) / 1e3,
        "first_us": first / 1e3,
        "windows": [],
    }
    gc.collect()
    gc.disable()
    for _ in range(job["windows"]):
        warm = warm_up(run, job["warmup_seconds"])
        before, watch = memory(), Watch()
        steady = window(run, job["seconds"], job["min_runs"], job["max_runs"])
        steady["grown_bytes"] = memory()["anonymous"] - before["anonymous"]
        found["windows"].append({**warm, **watch.stop(), **steady})
    found["memory"] = {
        "arena": session.arena(job["computed"]),
        "bare": bare["total"],
        "grown_anonymous": ready["anonymous"] - bare["anonymous"],
        "grown": ready["total"] - bare["total"],
        "peak": memory()["peak"],
    }
    return found


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        given = json.load(file)
    with limited_memory(given["memory"]):
        print(json.dumps(main(given)))

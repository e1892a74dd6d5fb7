"""A profile in a fresh process: `python -m device_bench.profiling.worker JOB.json`."""

import json
import os
import sys
import time

from converters.messages import answer
from device_bench.host.machine import limited_memory


def main(job: dict) -> dict:
    """Run a model with the profiler on, and with it off.

    Args:
        job: `model`, `inputs`, `seed`, `kernels`, `threads`, `cores`, `runs` at most, `seconds` at
            most, and `memory`.

    Returns:
        `rows`, each a kernel's name, node, whether it was delegated, and mean microseconds; mean
        microseconds of an invocation with the profiler (`invoke_us`) and without (`plain_us`);
        `runs`: all of it over the quieter half of the runs, which that counts.

    Raises:
        RuntimeError: The profiler is not there, or what it says does not hold together.
    """
    if job["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, job["cores"])
    from ai_edge_litert.interpreter import Interpreter

    from converters.array_files import load_arrays
    from converters.loaded_signature import signature_details
    from device_bench.host.feeding import batches
    from device_bench.profiling.runtime import Runtime

    interpreter = Interpreter(model_path=job["model"])
    inputs, outputs = signature_details(interpreter)
    given = job["inputs"] and load_arrays(job["inputs"])
    runtime = Runtime(job["model"], job["kernels"], job["threads"])
    runtime.set_up(inputs, outputs)
    runtime.feed(batches(inputs, given, job["step"], job["seed"])[0])
    clock = time.perf_counter_ns

    def run() -> int:
        start = clock()
        runtime.invoke()
        return clock() - start

    events = []

    def run_profiled() -> int:
        runtime.start()
        passed = run()
        events.append(runtime.stop())
        return passed

    times = []
    for each in (run, run_profiled):  # in turns, the profiler's own work would slow plain runs
        found, begun = [], clock()
        while len(found) < job["runs"] and (
            len(found) < 5 or clock() - begun < job["seconds"] * 1e9 / 2
        ):
            found.append(each())
        times.append(found)
    plain, profiled = times
    # The quieter half: what else runs on the machine would stand in single rows.
    quiet = sorted(range(len(profiled)), key=profiled.__getitem__)[: -(-len(profiled) // 2)]
    profiled, events = [profiled[i] for i in quiet], [events[i] for i in quiet]
    plain = sorted(plain)[: -(-len(plain) // 2)]
    order = [(event.name, event.node, event.delegated) for event in events[0]]
    for run in events:
        if [(event.name, event.node, event.delegated) for event in run] != order:
            raise RuntimeError("the profiler names other kernels in each run")
    if not order:
        raise RuntimeError("the profiler names no kernels")
    means = [sum(run[i].microseconds for run in events) / len(events) for i in range(len(order))]
    invoke = sum(profiled) / len(profiled) / 1e3
    if sum(means) > 1.1 * invoke + 5:
        raise RuntimeError("the profiler's times are longer than the run")
    return {
        "rows": [[*each, mean] for each, mean in zip(order, means, strict=True)],
        "invoke_us": invoke,
        "plain_us": sum(plain) / len(plain) / 1e3,
        "runs": len(profiled),
    }


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        given = json.load(file)
    with limited_memory(given["memory"]):
        answer(json.dumps(main(given)))

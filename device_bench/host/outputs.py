"""What a model computes with some kernels: `python -m device_bench.host.outputs JOB.json`.

Writes the outputs of each sample, as reals, to the `.npz` that the job names.
"""

import json
import sys

import numpy as np

from device_bench.host.machine import limited_memory


def main(job: dict) -> None:
    """Run the model on all batches.

    Args:
        job: As of the worker; `out`, the path of the `.npz`; and `random`, how many batches
            where no inputs are given.
    """
    from converters.array_files import load_arrays, save_arrays
    from converters.runner import dequantize
    from device_bench.host.feeding import batches
    from device_bench.host.sessions import SESSIONS

    kind = SESSIONS[job["runtime"]]
    kind.prepare(job["model"], job["signature"])
    session = kind(job["model"], job["kernels"], job["threads"], job["signature"])
    session.allocate(job["shapes"])
    rows: dict[str, list] = {name: [] for name in session.outputs}
    given = job["inputs"] and load_arrays(job["inputs"])
    for values in batches(session.inputs, given, job["step"], job["seed"], job["random"]):
        session.feed(values)
        session.invoke()
        for name, array in session.read().items():
            values = dequantize(np.array(array), session.outputs[name])
            rows[name].append(np.atleast_1d(values))
    save_arrays(job["out"], {name: np.concatenate(found) for name, found in rows.items()})


if __name__ == "__main__":
    with open(sys.argv[1]) as file:
        given = json.load(file)
    with limited_memory(given["memory"]):
        main(given)

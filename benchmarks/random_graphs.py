"""Random graphs: trained quantization-aware for a step, do their int8 files say what Keras says?

python -m benchmarks.random_graphs --graphs 500 --out benchmarks/results/random_graphs.json

Files run on XNNPACK's kernels, as on phones: these round once what they compute, which is what
QAT does. LiteRT's reference kernels round twice, to a fraction of a step and then to a step; QAT
cannot do as both do.
"""

import argparse
import json
import time
from dataclasses import asdict
from pathlib import Path

import keras

from tests.edgekit.quantization.random_graphs import Outcome, outcomes

TOGETHER = 10
MOST_BEYOND = 0.05


def summary(found: list[Outcome]) -> dict:
    """The three figures that count, and the graphs behind them."""
    errors = [o for o in found if o.error]
    far = [o for o in found if o.beyond > MOST_BEYOND]
    silent = [o for o in found if o.silent]
    return {
        "graphs": len(found),
        "errors": len(errors),
        "beyond_one_step": len(far),
        "silent_floats": len(silent),
        "departing": [asdict(o) for o in (*errors, *far, *silent)],
    }


def main() -> None:
    """Try the graphs and write what was found."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--graphs", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--kernels", default="xnnpack", choices=["xnnpack", "reference"])
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    found: list[Outcome] = []
    start = time.monotonic()
    for first in range(0, arguments.graphs, TOGETHER):
        seeds = range(first, min(first + TOGETHER, arguments.graphs))
        found += outcomes([arguments.first + seed for seed in seeds], arguments.kernels)
        keras.utils.clear_session()
        result = {**summary(found), "seconds": round(time.monotonic() - start)}
        print({k: v for k, v in result.items() if k != "departing"}, flush=True)
        if arguments.out:
            arguments.out.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()

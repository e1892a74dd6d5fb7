"""Whether the verdicts of `inspect` hold: `python -m benchmarks.op_support.check 60 --seed 0`.

Runs that many small files, drawn from all ops and dtypes, on a runtime, and prints as JSON those
that it takes where the verdict says it does not, or the other way round.
"""

import argparse
import json
import random
import sys
from collections.abc import Callable

from ai_edge_litert import interpreter  # noqa: F401  loaded once, for all forks

from benchmarks.op_support.op_files import OneOp, one_op_file
from benchmarks.op_support.specs import all_ops
from benchmarks.op_support.trials import agree, in_litert, in_micro, tried
from converters.op_types import op_type
from converters.reader import read_model
from converters.targets import unsupported

RUNTIMES: dict[str, Callable] = {"tflite-micro": in_micro, "litert": in_litert}


def wrong_verdict(spec: OneOp, target: str) -> list[str] | None:
    """`[op, type, verdict, what happened]` where both differ; None where they agree."""
    content = one_op_file(spec)
    ops = read_model(content).ops
    verdict = next((found.reason for found in unsupported(ops, target)), "runs")
    trial = tried(content, RUNTIMES[target])
    runs = trial.refusal is None
    if runs and target != "litert":
        runs = agree(trial, tried(content, in_litert))
    if runs == (verdict == "runs"):
        return None
    return [spec.name, op_type(ops[0]), verdict, trial.refusal or "runs"]


def main() -> None:
    """Print the wrong verdicts of a sample."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--target", choices=RUNTIMES, default="tflite-micro")
    given = parser.parse_args()
    if given.target == "tflite-micro":
        from tflite_micro.python.tflite_micro import runtime  # noqa: F401
    specs = list(all_ops())
    sample = random.Random(given.seed).sample(specs, min(given.count, len(specs)))
    found = [wrong for spec in sample if (wrong := wrong_verdict(spec, given.target))]
    print(json.dumps(found))


if __name__ == "__main__":
    sys.exit(main())

"""How much flash the code for a model takes, estimated."""

import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files

LABEL = "estimate: x86-64 code of tflite-micro's reference kernels"


def code_bytes(ops: Iterable[str]) -> int:
    """Code of TensorFlow Lite Micro's interpreter and the kernels of these ops, in bytes.

    An estimate, read from the library in tflite-micro's wheel by benchmarks/micro_code_sizes.py. A
    core's compiler makes other code, often less, and CMSIS-NN's kernels are others.

    Example:
        >>> code_bytes(["CONV_2D", "SOFTMAX"])

    Args:
        ops: Names of the ops that a model uses; those that are not known count nothing.
    """
    used, table = set(ops), _table()
    groups = (group["bytes"] for group in table["groups"] if used.intersection(group["ops"]))
    return table["interpreter"] + sum(groups)


@cache
def _table() -> dict:
    return json.loads(files("device_bench.micro").joinpath("code_sizes.json").read_text())

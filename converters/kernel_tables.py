"""Which kernels a runtime has: op by op and dtype by dtype, as tried on it.

`op_support.json` is made by `python -m benchmarks.op_support`, which builds a file of each builtin
op in each dtype and runs it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

from converters.model_info import OpInfo
from converters.op_types import op_type


@dataclass(frozen=True)
class KernelTable:
    """The kernels of a runtime.

    Attributes:
        ops: In which types each op runs, in the words of `op_type`; None where they were not
            tried, as for control flow and variables.
        custom: Custom ops that it has.
        dtypes: Those that were tried.
        versions: The newest version of each op; empty where the runtime does not ask.
        runtime: Its name and version.
    """

    ops: Mapping[str, frozenset[str] | None]
    custom: frozenset[str]
    dtypes: frozenset[str]
    versions: Mapping[str, int]
    runtime: str

    def refusal(self, op: OpInfo) -> str | None:
        """Why the runtime has no kernel for an op that it has the name of; None where it has."""
        newest = self.versions.get(op.name, op.version)
        if op.version > newest:
            return f"version {op.version} of the op, where {newest} is the newest that is known"
        kinds, kind = self.ops.get(op.name), op_type(op)
        if kinds is None or kind in kinds:
            return None
        data = kind.split(" ")[0].split("×")[0]
        if data not in self.dtypes and self.versions:  # of no dtype that could be tried alone
            return None
        if data in ("resource", "variant", "none"):
            return None
        return f"{_in_words(kind)}: {_known(kind, kinds)}"


@cache
def kernel_table(runtime: str) -> KernelTable:
    """The kernels of `"litert"`, `"tflite-micro"` or `"ethos-u"`."""
    text = files("converters").joinpath("op_support.json").read_text()
    found = json.loads(text)[runtime]
    return KernelTable(
        {op: None if kinds is None else frozenset(kinds) for op, kinds in found["ops"].items()},
        frozenset(found["custom"]),
        frozenset(found["dtypes"]),
        found.get("versions", {}),
        found["runtime"],
    )


def _known(kind: str, kinds: frozenset[str]) -> str:
    _, to, result = kind.partition(" to ")
    if to:  # a conversion: what it takes to that result
        kinds = frozenset(k.removesuffix(to + result) for k in kinds if k.endswith(to + result))
    if not kinds:
        return (
            "its kernel knows no such conversion" if to else "its kernel takes none of the dtypes"
        )
    return f"its kernel takes {', '.join(sorted(map(_in_words, kinds)))}"


def _in_words(kind: str) -> str:
    return kind.replace(" plain", " without a scale").replace(" by int64", " with indices of int64")

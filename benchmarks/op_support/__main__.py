"""Tries each op in each dtype on the runtimes: `python -m benchmarks.op_support`.

Writes what runs to `converters/op_support.json`, from which `inspect(...).unsupported` reads. An op
whose dtypes cannot be tried alone, as those with subgraphs or variables, is null there.
"""

import json
import sys
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from ai_edge_litert import interpreter
from ai_edge_litert import schema_py_generated as schema
from ethosu.vela import vela  # noqa: F401  loaded once, for all forks
from tflite_micro.python.tflite_micro import runtime  # noqa: F401

from benchmarks.op_support.op_files import OneOp, one_op_file
from benchmarks.op_support.specs import DTYPES, all_ops
from benchmarks.op_support.trials import Trial, agree, in_litert, in_micro, in_vela, tried
from converters.op_types import op_type
from converters.reader import read_model

TABLE = Path(__file__).parents[2] / "converters" / "op_support.json"
CUSTOM = (
    "TFLite_Detection_PostProcess",
    "Convolution2DTransposeBias",
    "MaxPoolingWithArgmax2D",
    "MaxUnpooling2D",
    "AudioSpectrogram",
    "Mfcc",
    "NumericVerify",
    "ethos-u",
    "edgetpu-custom-op",
    "CIRCULAR_BUFFER",
    "TFLM_DECODE",
    "SignalDelay",
    "SignalEnergy",
    "SignalFftAutoScale",
    "SignalFilterBank",
    "SignalFilterBankLog",
    "SignalFilterBankSpectralSubtraction",
    "SignalFilterBankSquareRoot",
    "SignalFramer",
    "SignalIrfft",
    "SignalOverlapAdd",
    "SignalPCAN",
    "SignalRfft",
    "SignalStacker",
    "SignalWindow",
)
# What small files do not show: the range of one op would be empty, and LiteRT is no measure for
# RSQRT of int16, which it computes wrongly. Strings are gathered from one axis only.
KNOWN = {
    "litert": {"GATHER": {"string"}, "RANGE": {"float32", "int32", "int64"}},
    "tflite-micro": {"RSQRT": {"int16"}},
    "ethos-u": {},
}
_MISSING = ("find op for", "unresolved custom op", "Failed to get registration", "Encountered")
_MOST_VERSIONS = 16
_ETHOS_DTYPES = ("int8", "uint8", "int16", "int32", "float32")


def main() -> None:
    """Try all, and write the table."""
    specs = list(all_ops())
    litert = [tried(one_op_file(spec), in_litert) for spec in specs]
    micro = [tried(one_op_file(spec), in_micro) for spec in specs]
    table = {
        "litert": _table(specs, litert, None, in_litert) | {"versions": _versions()},
        "tflite-micro": _table(specs, micro, litert, in_micro),
        "ethos-u": _ethos(specs),
    }
    for target, package in (
        ("litert", "ai-edge-litert"),
        ("tflite-micro", "tflite-micro"),
        ("ethos-u", "ethos-u-vela"),
    ):
        table[target] |= {"runtime": f"{package} {version(package)}", "dtypes": DTYPES}
        for op, kinds in KNOWN[target].items():
            table[target]["ops"][op] = {*table[target]["ops"].get(op, ()), *kinds}
    TABLE.write_text(_text(table))


def _table(
    specs: list[OneOp], found: list[Trial], expected: list[Trial] | None, run: Callable
) -> dict:
    """Which ops run in which dtypes; what computes other values than expected does not."""
    ops: dict[str, set[str] | None] = dict.fromkeys(_present(run))
    for spec, ours, theirs in zip(specs, found, expected or found, strict=True):
        if spec.name in ops:
            kinds = ops[spec.name] = ops[spec.name] or set()
            if ours.refusal is None and agree(ours, theirs):
                kinds.add(op_type(read_model(one_op_file(spec)).ops[0]))
    custom = [name for name in CUSTOM if _is_present(OneOp(name, [], [], custom=True), run)]
    return {"ops": ops, "custom": custom}


def _present(run: Callable) -> list[str]:
    names = (k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int))
    skipped = ("CUSTOM", "DELEGATE", "PLACEHOLDER_FOR_GREATER_OP_CODES")
    return [
        name
        for name in names
        if name not in skipped
        and any(_is_present(OneOp(name, [], [], version=v), run) for v in (1, 2, 3))
    ]


def _is_present(op: OneOp, run: Callable) -> bool:
    refusal = tried(one_op_file(op), run).refusal or ""
    return not any(words in refusal for words in _MISSING)


def _versions() -> dict[str, int]:
    """The newest version of each op that LiteRT has."""
    found = {}
    for name, number in vars(schema.BuiltinOperator).items():
        if not isinstance(number, int) or name in ("CUSTOM", "DELEGATE"):
            continue
        for newest in range(_MOST_VERSIONS, 0, -1):
            content = one_op_file(OneOp(name, [], [], version=newest))
            try:
                interpreter.Interpreter(model_content=content)
            except (ValueError, RuntimeError) as error:
                if "find op for" in str(error):
                    continue
            found[name] = newest
            break
    return found


def _ethos(specs: list[OneOp]) -> dict:
    ops: dict[str, set[str] | None] = {}
    for spec in specs:
        op = read_model(one_op_file(spec)).ops[0]
        kind = op_type(op)
        if not kind.startswith(_ETHOS_DTYPES) or "plain" in kind:
            continue
        trial: Trial = tried(one_op_file(spec), in_vela)
        kinds = ops.setdefault(spec.name, set())
        if trial.refusal is None:
            kinds.add(kind)
    return {"ops": {name: kinds for name, kinds in ops.items() if kinds}, "custom": ["ethos-u"]}


def _text(table: dict) -> str:
    """JSON with an op a line."""
    lines = []
    for target, found in table.items():
        ops = ",\n".join(
            f"   {json.dumps(name)}: {json.dumps(sorted(kinds) if kinds is not None else None)}"
            for name, kinds in sorted(found["ops"].items())
        )
        rest = {key: value for key, value in found.items() if key != "ops"}
        head = "".join(f"  {json.dumps(k)}: {json.dumps(v)},\n" for k, v in sorted(rest.items()))
        lines.append(f' {json.dumps(target)}: {{\n{head}  "ops": {{\n{ops}\n  }}\n }}')
    return "{\n" + ",\n".join(lines) + "\n}\n"


if __name__ == "__main__":
    sys.exit(main())

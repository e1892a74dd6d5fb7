"""Bytes of code that each op of TensorFlow Lite Micro brings into a program.

    python benchmarks/micro_code_sizes.py

Reads the library in the wheel of tflite-micro (extra `mcu`) with nm and objdump: what an op brings
are the functions that can be reached from its registration, and what the interpreter brings those
that can be reached from it. Functions that several ops share are counted once for a model. Writes
device_bench/micro/code_sizes.json, which `device="mcu"` estimates flash by: it is x86-64 code of
reference kernels, and a core's compiler and library make other code of them.
"""

import json
import re
import subprocess
from importlib.metadata import version
from pathlib import Path

import tflite_micro

OUT = Path(__file__).resolve().parent.parent / "device_bench" / "micro" / "code_sizes.json"
LIBRARY = Path(tflite_micro.__file__).parent / "python" / "tflite_micro" / "_runtime.so"
_FUNCTION = re.compile(r"^[0-9a-f]+ <(.+)>:$")
_TARGET = re.compile(r"\b(?:call|jmp|lea|mov|cmp|push)\w*\s.*?(?:# )?[0-9a-f]+ <([^>+]+)>")
_REGISTER = re.compile(r"\bRegister_([A-Z0-9_]+)\(")


def main() -> None:
    """Read, attribute, write."""
    sizes, plain = _symbols()
    calls = _calls(set(sizes))
    ops = {
        match[1]: name
        for name, readable in plain.items()
        if (match := _REGISTER.search(readable)) and name in sizes and "guard" not in readable
    }
    interpreter = [name for name, readable in plain.items() if "MicroInterpreter::" in readable]
    resolver = {name for name, readable in plain.items() if "PythonOpsResolver" in readable}
    core = _reached(interpreter, calls, resolver)
    users: dict[str, set] = {}
    for op, register in ops.items():
        for function in _reached([register, *_parsers(op, plain)], calls, resolver) - core:
            users.setdefault(function, set()).add(op)
    groups: dict[tuple, int] = {}
    for function, found in users.items():
        key = tuple(sorted(found))
        groups[key] = groups.get(key, 0) + sizes[function]
    table = {
        "source": f"tflite-micro {version('tflite-micro')}, x86-64 code of reference kernels",
        "interpreter": sum(sizes[function] for function in core),
        "groups": [
            {"ops": list(key), "bytes": size}
            for key, size in sorted(groups.items(), key=lambda item: (-item[1], item[0]))
        ],
    }
    OUT.write_text(json.dumps(table, indent=1) + "\n")
    alone = {op: sum(s for key, s in groups.items() if op in key) for op in ops}
    for op, size in sorted(alone.items(), key=lambda item: -item[1]):
        print(f"{op:40s} {size:8,d}")
    print(f"{'interpreter':40s} {table['interpreter']:8,d}")


def _symbols() -> tuple[dict[str, int], dict[str, str]]:
    """`{symbol: bytes}` of functions, and `{symbol: what it is in C++}`."""
    sizes = {}
    for line in _run("nm", "-S", "--defined-only").splitlines():
        parts = line.split()
        if len(parts) == 4 and parts[2] in "tTwW":
            sizes[parts[3]] = int(parts[1], 16)
    names = list(sizes)
    readable = subprocess.run(
        ["c++filt"], input="\n".join(names), capture_output=True, text=True, check=True
    ).stdout.splitlines()
    return sizes, dict(zip(names, readable, strict=True))


def _calls(known: set[str]) -> dict[str, set[str]]:
    """`{function: functions it calls or takes the address of}`."""
    found: dict[str, set[str]] = {}
    current = None
    for line in _run("objdump", "-d", "--no-show-raw-insn").splitlines():
        start = _FUNCTION.match(line)
        if start:
            current = found.setdefault(start[1], set())
            continue
        target = _TARGET.search(line)
        if target and current is not None and target[1] in known:
            current.add(target[1])
    return found


def _reached(starts, calls, without: set[str]) -> set[str]:
    found, left = set(), [start for start in starts if start not in without]
    while left:
        function = left.pop()
        if function in found or function in without:
            continue
        found.add(function)
        left += calls.get(function, ())
    return found


def _parsers(op: str, plain: dict[str, str]) -> list[str]:
    """The function that reads the op's options from a file."""
    wanted = "parse" + op.lower().replace("_", "")
    return [
        name
        for name, readable in plain.items()
        if readable.rpartition("(")[0].split("(")[0].rpartition("::")[2].lower() == wanted
    ]


def _run(*command: str) -> str:
    done = subprocess.run([*command, str(LIBRARY)], capture_output=True, text=True, check=True)
    return done.stdout


if __name__ == "__main__":
    main()

"""Running a model in TensorFlow Lite Micro, to know what it needs and what it gives there.

What its recorder counts is less than what makes a small model run: planning the memory takes
memory of its own, which is free again when the recorder looks. So the least arena is searched for,
by running the model in arenas of more and more bytes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from converters.child import ChildError, run_module
from converters.reader import read_model
from converters.targets import unsupported
from converters.temporary import temporary_folder

# What the measured size is raised by: kernels made for a core take other scratch memory.
MARGIN_PERCENT = 20
# Where an arena must begin, and the steps in which its size is searched for.
ALIGNMENT = 16
KERNELS = "x86-64 reference kernels"
_PATIENCE = 300


@dataclass(frozen=True)
class MicroRun:
    """A run in TensorFlow Lite Micro.

    Attributes:
        head: Bytes of the arena that tensors share.
        tail: Bytes of the arena that last, as structures and scratch memory do.
        total: Both, as recorded once the memory is planned.
        least: Bytes of the smallest arena, in steps of 16, in which it ran.
        untouched: What the outputs' memory held when the first run had its input, but had not run.
        outputs: Stored values of each output, in order, of all runs.
        version: Of tflite-micro.
    """

    head: int
    tail: int
    total: int
    least: int
    untouched: tuple[np.ndarray, ...]
    outputs: tuple[np.ndarray, ...]
    version: str

    @property
    def arena(self) -> int:
        """Bytes to set aside: the least and the margin, in whole lines of 16 bytes."""
        return -(-self.least * (100 + MARGIN_PERCENT) // (100 * ALIGNMENT)) * ALIGNMENT


def run_micro(
    content: bytes,
    inputs: Sequence[np.ndarray],
    outputs: int,
    arena: int | None = None,
    runs: int = 1,
) -> MicroRun:
    """Run a model in TensorFlow Lite Micro, in a process of its own.

    Args:
        content: The bytes of a `.tflite`.
        inputs: Stored values of each input, in order; of several runs one after another.
        outputs: How many there are.
        arena: Bytes it may use. Defaults to `None`: more than it can need, and the least is
            searched for.
        runs: How many batches the inputs hold. Defaults to `1`.

    Raises:
        ImportError: tflite-micro is not installed.
        ValueError: It cannot run the model; the message has its own words.
    """
    if find_spec("tflite_micro") is None:
        raise ImportError(
            "what is for microcontrollers needs tflite-micro: pip install 'edgekit-keras[mcu]' "
            "(wheels are for Linux on x86-64)"
        )
    with temporary_folder("micro") as folder:
        (folder / "model.tflite").write_bytes(content)
        np.savez(folder / "inputs.npz", **{f"v{i}": array for i, array in enumerate(inputs)})
        job = {
            "arena": arena or _plenty(content),
            "search": None if arena else ALIGNMENT,
            "outputs": outputs,
            "runs": runs,
        }
        (folder / "job.json").write_text(json.dumps(job))
        try:
            run_module("converters.packaging.arena_run", str(folder), timeout=_PATIENCE)
            result = json.loads((folder / "result.json").read_text())
        except ChildError as error:
            result = {"error": str(error)}
        if "error" in result:
            raise ValueError(_refusal(content, _said(folder) or result["error"]))
        with np.load(folder / "outputs.npz") as loaded:
            found, untouched = (tuple(loaded[f"{k}{i}"] for i in range(outputs)) for k in "vu")
    return MicroRun(**result, untouched=untouched, outputs=found, version=version("tflite-micro"))


def _plenty(content: bytes) -> int:
    """More than any plan of the tensors can take; untouched memory costs nothing."""
    tensors = read_model(content).tensors
    return 2**24 + 10 * len(content) + sum(32 * t.size for t in tensors if not t.constant)


def _said(folder: Path) -> str:
    """What tflite-micro wrote to standard error, in one line."""
    path = folder / "said.txt"
    said = path.read_text(errors="replace") if path.exists() else ""
    lines = [line.strip().rstrip(".") for line in said.splitlines()]
    return "; ".join(line for line in lines if line and not line.startswith("[Recording"))


def _refusal(content: bytes, said: str) -> str:
    ops = unsupported(read_model(content).ops, "tflite-micro")
    rules = "".join(dict.fromkeys(f"{op.op}: {op.reason}. " for op in ops))
    return (
        f"TensorFlow Lite Micro cannot run this model. {rules}In its own words: {said}. It takes "
        "float32, int8 and int16x8 files of fixed shapes: convert to one of these"
    )

"""Which of LiteRT's interfaces for Android a model can be run by.

CompiledModel sets its buffers aside before the model runs, as large as the file says: where shapes
depend on the data or on the caller, it fails or cuts values off. InterpreterApi says after a run
what came out.
"""

import json
from dataclasses import dataclass

import numpy as np

from converters.child import ChildError, run_module
from converters.errors import first_line
from converters.flatbuffer import Flatbuffer
from converters.packaging.kotlin import unsupported_dtypes
from converters.packaging.kotlin_interpreter import unknown_dtypes
from converters.packaging.ports import Port, Ports
from converters.packaging.sample import Values, run, seeded_samples
from converters.temporary import temporary_folder

_PATIENCE = 120
# On so many inputs a shape that depends on them is expected to show.
_RUNS = 3
# By how much of the largest value the two may differ, whose kernels are alike.
_SHARE = 1e-3


@dataclass(frozen=True)
class Tried:
    """One run of a model in LiteRT's interpreter, and what follows for an app.

    Attributes:
        interface: `"CompiledModel"` or `"InterpreterApi"`; None where neither takes its dtypes.
        reason: Why not CompiledModel; None where it does.
        sample: `{input name: Values}` of the run; None where there was none.
        outputs: `{output name: real values}` of it.
    """

    interface: str | None
    reason: str | None
    sample: dict[str, Values] | None
    outputs: dict[str, np.ndarray]


def try_out(source: Flatbuffer, ports: Ports) -> Tried:
    """Run the model, and see which interface gives what the interpreter gives.

    Raises:
        ValueError: LiteRT cannot run it at the shapes of the file, which are not open.
    """
    runs, refusal = [], None
    for sample in seeded_samples(source.content, ports):
        if len(runs) == _RUNS:
            break
        try:
            runs.append((sample, run(source, sample, "xnnpack")))
        except ValueError as error:
            refusal = refusal or error
    is_open = any(port.open_shape[1:] != port.shape[1:] for port in ports.inputs)
    if not runs and not is_open:
        raise refusal
    sample, outputs = runs[0] if runs else (None, {})
    reason = (
        _open_input(ports)
        or _open_output(ports)
        or _other_shape(ports, [found for _, found in runs])
        or _no_methods(ports)
        or _fails(source.content, ports, sample, outputs)
    )
    if reason is None:
        return Tried("CompiledModel", None, sample, outputs)
    interface = None if unknown_dtypes(ports) else "InterpreterApi"
    return Tried(interface, reason, sample, outputs)


def _open_input(ports: Ports) -> str | None:
    for port in ports.inputs:
        # The first side is the batch, of which an app feeds one.
        if port.open_shape[1:] != port.shape[1:]:
            return f"the sizes of input {port.name!r} are open ({_sides(port)})"
    return None


def _open_output(ports: Ports) -> str | None:
    batch = any(port.open_shape[:1] != port.shape[:1] for port in ports.inputs)
    for port in ports.outputs:
        first = 1 if batch else 0
        if port.open_shape[first:] != port.shape[first:]:
            return f"the shape of output {port.name!r} depends on the data ({_sides(port)})"
    return None


def _other_shape(ports: Ports, runs: list[dict[str, np.ndarray]]) -> str | None:
    for port in ports.outputs:
        for found in (outputs[port.name].shape for outputs in runs):
            if found != port.shape and not (port.shape == () and found == (1,)):
                return (
                    f"the shape of output {port.name!r} depends on the data: "
                    f"{_by_x(port.shape)} in the file, {_by_x(found)} in a run"
                )
    return None


def _no_methods(ports: Ports) -> str | None:
    missing = unsupported_dtypes(ports)
    if not missing:
        return None
    return f"the buffers of LiteRT's CompiledModel have no methods for {', '.join(missing)}"


def _fails(content: bytes, ports: Ports, sample, outputs) -> str | None:
    """What is wrong with the model in CompiledModel, run in a process of its own."""
    if sample is None:
        return None
    with temporary_folder("compiled") as folder:
        (folder / "model.tflite").write_bytes(content)
        fed = {f"v{i}": sample[port.name].stored for i, port in enumerate(ports.inputs)}
        np.savez(folder / "inputs.npz", **fed)
        wanted = [(port.size, port.dtype) for port in ports.outputs]
        (folder / "outputs.json").write_text(json.dumps(wanted))
        try:
            run_module("converters.packaging.compiled_run", str(folder), timeout=_PATIENCE)
        except ChildError as error:
            return f"CompiledModel does not run it: {first_line(error)}"
        if (folder / "error.txt").exists():
            said = " ".join((folder / "error.txt").read_text().split())
            return f"CompiledModel does not run it: {said}"
        with np.load(folder / "outputs.npz") as loaded:
            found = [loaded[f"v{i}"] for i in range(len(ports.outputs))]
    for port, values in zip(ports.outputs, found, strict=True):
        if not _alike(port.real(values), outputs[port.name].ravel(), port):
            return f"output {port.name!r} of CompiledModel is not what the interpreter gives"
    return None


def _alike(found: np.ndarray, expected: np.ndarray, port: Port) -> bool:
    if found.size != expected.size:
        return False
    found, expected = found.astype(np.float64), expected.astype(np.float64)
    largest = float(np.max(np.abs(expected), initial=0.0, where=np.isfinite(expected)))
    near = max(_SHARE * largest, 1.01 * (port.scale or 0.0))
    return bool(np.allclose(found, expected, rtol=0, atol=near, equal_nan=True))


def _sides(port: Port) -> str:
    return "×".join("any" if side < 0 else str(side) for side in port.open_shape)


def _by_x(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) or "a single value"

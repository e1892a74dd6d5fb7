"""Whether a runtime takes a file: tried in a process of its own, which it may crash."""

import os
import signal
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.model_info import TensorInfo
from converters.reader import read_model

_PATIENCE = 20


@dataclass(frozen=True)
class Trial:
    """What a runtime did with a file.

    Attributes:
        refusal: Why it refused it, in its own words; None where it ran.
        outputs: Stored values of the outputs, where it ran.
    """

    refusal: str | None
    outputs: tuple[np.ndarray, ...] = ()


def tried(content: bytes, run: Callable[[bytes], tuple[np.ndarray, ...]]) -> Trial:
    """What a runtime does with a file."""
    with tempfile.TemporaryDirectory(prefix="edgekit-op-") as folder:
        said, made = Path(folder) / "said.txt", Path(folder) / "made.npz"
        process = os.fork()
        if not process:
            code = 1
            try:
                signal.alarm(_PATIENCE)
                file = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
                os.dup2(file, 1)
                os.dup2(file, 2)
                np.savez(made, *run(content))
                code = 0
            except BaseException as error:
                os.write(2, f"{type(error).__name__}: {error}".encode())
            finally:
                os._exit(code)
        _, status = os.waitpid(process, 0)
        words = said.read_text(errors="replace").strip()
        if os.WIFSIGNALED(status):
            return Trial(f"crashes ({signal.Signals(os.WTERMSIG(status)).name}) {words}")
        if status:
            return Trial(words or "refused")
        with np.load(made, allow_pickle=False) as loaded:
            return Trial(None, tuple(loaded[name] for name in loaded.files))


def in_micro(content: bytes) -> tuple[np.ndarray, ...]:
    """Run it in TensorFlow Lite Micro."""
    from tflite_micro.python.tflite_micro import runtime

    interpreter = runtime.Interpreter.from_bytes(content, arena_size=200_000)
    for index, values in enumerate(_inputs(content)):
        interpreter.set_input(values, index)
    interpreter.invoke()
    count = len(read_model(content).graph_outputs)
    return tuple(np.array(interpreter.get_output(i)) for i in range(count))


def in_litert(content: bytes) -> tuple[np.ndarray, ...]:
    """Run it in LiteRT's interpreter, as phones do."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content, num_threads=1)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), _inputs(content), strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    found = (interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details())
    return tuple(values for values in found if values.dtype != object)


def in_vela(content: bytes) -> tuple[np.ndarray, ...]:
    """Compile it for an Ethos-U55; an op that stays on the CPU is refused."""
    from ethosu.vela import vela

    with tempfile.TemporaryDirectory(prefix="edgekit-vela-") as folder:
        path = Path(folder) / "op.tflite"
        path.write_bytes(content)
        arguments = ["--accelerator-config", "ethos-u55-128", "--output-dir", folder, str(path)]
        vela.main(arguments)
        made = read_model((Path(folder) / "op_vela.tflite").read_bytes())
        names = {op.name for op in made.ops}
        if not names <= {"ethos-u"}:
            raise ValueError(f"stays on the CPU: {', '.join(sorted(names))}")
    return ()


def agree(found: Trial, expected: Trial) -> bool:
    """Whether two runtimes computed the same: integers within two steps, floats closely."""
    if found.refusal or expected.refusal:
        return True
    for ours, theirs in zip(found.outputs, expected.outputs, strict=True):
        if ours.size != theirs.size:
            return False
        apart = np.abs(ours.ravel().astype("f8") - theirs.ravel().astype("f8"))
        allowed = 2.0 if ours.dtype.kind in "iu" else 1e-3 + 0.01 * np.abs(theirs.ravel())
        if not np.all(apart <= allowed):
            return False
    return True


def _inputs(content: bytes) -> Iterator[np.ndarray]:
    rng = np.random.default_rng(0)
    for tensor in read_model(content).graph_inputs:
        yield _values(rng, tensor)


def _values(rng, tensor: TensorInfo) -> np.ndarray:
    if tensor.dtype == "string":
        return np.full(tensor.shape, b"a", object)
    if tensor.dtype.startswith("float"):
        return rng.uniform(0.5, 2, tensor.shape).astype(tensor.dtype)
    if tensor.scales and tensor.dtype != "int32":
        zero = tensor.zero_points[0]
        return (zero + rng.integers(5, 30, tensor.shape)).astype(tensor.dtype)
    return np.ones(tensor.shape, tensor.dtype)  # an index, maybe

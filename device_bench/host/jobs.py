"""What is measured, written out for the child processes that do it."""

import contextlib
import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.array_files import save_arrays
from converters.feeding import Feeding, feeding
from converters.flatbuffer import Flatbuffer
from converters.model_info import ModelInfo, TensorInfo
from converters.reader import read_model
from device_bench.modes import Mode
from device_bench.setting import Setting

# Samples that are fed while time is measured, and that outputs are compared on.
_FED = 32
_COMPARED = 4
_WITHOUT_VALUES = ("resource", "variant", "string")
_PLENTY = 2**40
_ROOM = 2**30  # for code, beside what the machine has left


@dataclass(frozen=True)
class Case:
    """A model in a setting.

    Args:
        name: What its row is called.
        model: The model's name.
        flatbuffer: The model.
        setting: How it is run.
        folder: Where its files are.
        job: For the worker.
    """

    name: str
    model: str
    flatbuffer: Flatbuffer
    setting: Setting
    folder: Path
    job: dict

    @property
    def about(self) -> list:
        """What tells its measurement from others."""
        own = ("model", "inputs", "memory")  # of this process
        job = {name: value for name, value in self.job.items() if name not in own}
        return [self.name, self.flatbuffer.sha256, vars(self.setting), job]

    @property
    def samples(self) -> int:
        """Samples in an invocation."""
        return self.job["step"] or 1

    def write(self, name: str, **changes) -> Path:
        """The job, changed, in a file."""
        path = self.folder / f"{name}.json"
        path.write_text(json.dumps(self.job | changes))
        return path


def cases(
    models: Mapping[str, Flatbuffer],
    settings: list[Setting],
    samples: Mapping[str, Mapping[str, np.ndarray] | None],
    mode: Mode,
    seed: int,
    folder: Path,
    signature: str | None = None,
) -> list[Case]:
    """One for each model in each setting, with its files in place.

    Args:
        models: By name.
        settings: All of them for each model.
        samples: For each model its inputs by name; None for random ones.
        mode: How much is measured.
        seed: Of random inputs.
        folder: Where files go.
        signature: Key of the signature that is measured. Defaults to `None`, the default one.

    Raises:
        ValueError: A batch size for inputs that have no batch in common.
    """
    found = []
    for number, (name, flatbuffer) in enumerate(models.items()):
        place = folder / str(number)
        place.mkdir()
        (place / "model.tflite").write_bytes(flatbuffer.content)
        info = read_model(flatbuffer.content, signature)
        rules, given = feeding(info), samples[name]
        tensors = [tensor for tensor in info.tensors if tensor.subgraph == info.subgraph]
        computed = _computed(tensors)
        for order, setting in enumerate(settings):
            inside = place / str(order)
            inside.mkdir()
            words = setting.words(settings)
            step = _step(rules, setting, name)
            job = {
                "model": str(place / "model.tflite"),
                "inputs": None,
                "signature": signature,
                "step": step,
                "shapes": _shapes(info, rules, given, step),
                "seed": seed,
                **vars(setting),
                "cores": pinned_cores(setting.threads),
                "memory": memory_left(),
                "warmup_seconds": min(0.25, mode.seconds / 2),
                "windows": mode.windows,
                "seconds": mode.seconds,
                "min_runs": mode.min_runs,
                "longest": mode.longest,
                "computed": computed,
                "tensors": len(tensors),
            }
            if given is not None:
                batch = step or 1
                counts = {"fed": batch * max(1, _FED // batch), "compared": batch * _COMPARED}
                for kind, count in counts.items():
                    some = {n: a[:count] if step and a.ndim else a for n, a in given.items()}
                    save_arrays(inside / f"{kind}.npz", some)
                job["inputs"] = str(inside / "fed.npz")
                job["samples"] = _digest(given)
            row = f"{name}, {words}" if words else name
            found.append(Case(row, name, flatbuffer, setting, inside, job))
    return found


def _step(rules: Feeding, setting: Setting, name: str) -> int | None:
    """Samples in an invocation; None where the inputs have no batch in common."""
    if setting.batch is None:
        return rules.step
    if rules.step is None:
        raise ValueError(
            f"`batch` does not apply to model {name!r}: its inputs have no batch in common, "
            f"{dict(rules.shapes)}. Received: batch={setting.batch}"
        )
    return setting.batch


def _shapes(
    info: ModelInfo, rules: Feeding, given: Mapping[str, np.ndarray] | None, step: int | None
) -> dict[str, list[int]]:
    """Of the inputs in one invocation: the file's, with open sizes as given and `step` samples."""
    shapes = {}
    for name, tensor in info.inputs.items():
        shape = list(tensor.shape if given is None else given[name].shape)
        if step is not None and shape:
            shape[0] = step
        shapes[name] = shape
    return shapes


def _computed(tensors: Sequence[TensorInfo]) -> list[int]:
    """Tensors of the first subgraph that are no constants and have plain values."""
    return [
        i
        for i, t in enumerate(tensors)
        if t.index == i and not t.constant and t.dtype not in _WITHOUT_VALUES
    ]


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        plain = array if array.dtype != object else np.array(array.tolist(), dtype=bytes)
        found.update(np.ascontiguousarray(plain).tobytes())
    return found.hexdigest()


def pinned_cores(threads: int) -> list[int] | None:
    """The last cores of those we may use: the first one serves most interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    available = sorted(os.sched_getaffinity(0))
    return available[-threads:] if threads <= len(available) else None


def memory_left() -> int:
    """Bytes that a new process may take, room for code in it."""
    found = []
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    with contextlib.suppress(OSError, ValueError):  # of a container; "max" is no number
        most, used = (
            int(Path(f"/sys/fs/cgroup/memory.{n}").read_text()) for n in ("max", "current")
        )
        found.append(most - used)
    return _ROOM + min(found, default=_PLENTY)

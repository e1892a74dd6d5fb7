"""What is measured, written out for the child processes that do it."""

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.reader import read_model
from device_bench.modes import Mode
from device_bench.setting import Setting

# Samples that are fed while time is measured, and that outputs are compared on.
_FED = 32
_COMPARED = 4
_WITHOUT_VALUES = ("resource", "variant", "string")
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
    def key(self) -> str:
        """Tells it from what else may have been measured before."""
        return hashlib.sha256(
            json.dumps(
                [
                    self.flatbuffer.sha256,
                    vars(self.setting),
                    {k: v for k, v in self.job.items() if k not in ("model", "inputs", "memory")},
                ],
                sort_keys=True,
            ).encode()
        ).hexdigest()

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
) -> list[Case]:
    """One for each model in each setting, with its files in place.

    Args:
        models: By name.
        settings: All of them for each model.
        samples: For each model its inputs by name; None for random ones.
        mode: How much is measured.
        seed: Of random inputs.
        folder: Where files go.
    """
    found = []
    for number, (name, flatbuffer) in enumerate(models.items()):
        place = folder / str(number)
        place.mkdir()
        (place / "model.tflite").write_bytes(flatbuffer.content)
        computed = _computed(flatbuffer)
        for order, setting in enumerate(settings):
            inside = place / str(order)
            inside.mkdir()
            words = setting.words(settings)
            job = {
                "model": str(place / "model.tflite"),
                "inputs": None,
                "seed": seed,
                **vars(setting),
                "cores": pinned_cores(setting.threads),
                "memory": memory_left() + _ROOM,
                "warmup_seconds": min(0.25, mode.seconds / 2),
                "windows": mode.windows,
                "seconds": mode.seconds,
                "min_runs": mode.min_runs,
                "max_runs": mode.max_runs,
                "computed": computed,
            }
            given = samples[name]
            if given is not None:
                batch = setting.batch or next(iter(flatbuffer.input_shapes.values()))[0]
                counts = {"fed": batch * max(1, _FED // batch), "compared": batch * _COMPARED}
                for kind, count in counts.items():
                    np.savez(inside / f"{kind}.npz", **{n: a[:count] for n, a in given.items()})
                job["inputs"] = str(inside / "fed.npz")
                job["samples"] = _digest(given)
            row = f"{name}, {words}" if words else name
            found.append(Case(row, name, flatbuffer, setting, inside, job))
    return found


def _computed(flatbuffer: Flatbuffer) -> list[int]:
    """Tensors of the first subgraph that are no constants and have plain values."""
    tensors = enumerate(read_model(flatbuffer.content).tensors)
    # Those of the first subgraph come first, and are numbered from 0. LiteRT crashes where it is
    # asked about the others.
    return [
        i for i, t in tensors if t.index == i and not t.constant and t.dtype not in _WITHOUT_VALUES
    ]


def _digest(arrays: Mapping[str, np.ndarray]) -> str:
    found = hashlib.sha256()
    for name, array in sorted(arrays.items()):
        found.update(f"{name} {array.dtype} {array.shape}".encode())
        found.update(np.ascontiguousarray(array).data)
    return found.hexdigest()


def pinned_cores(threads: int) -> list[int] | None:
    """The last cores of those we may use: the first one serves most interrupts."""
    if not hasattr(os, "sched_getaffinity"):
        return None
    available = sorted(os.sched_getaffinity(0))
    return available[-threads:] if threads <= len(available) else None


def memory_left() -> int:
    """Bytes that new processes may take without swapping."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")

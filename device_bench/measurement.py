"""What was measured of one model in one setting."""

from dataclasses import asdict, dataclass, field
from functools import cached_property

import numpy as np

from device_bench.setting import Setting
from device_bench.statistics import median_interval, outliers

# Fewer runs say nothing about the slowest in a hundred.
_RUNS_FOR_P99 = 1000


@dataclass
class Measurement:
    """One model in one setting: what each process saw, and what follows from it.

    Times are in milliseconds, memory in bytes.

    Args:
        name: The model's name, with what tells its setting from others.
        model: The model's name alone.
        setting: How it was run.
        file_bytes: Size of the `.tflite`.
        weight_bytes: Of these, constants.
        sha256: Of the file.
        samples: In an invocation.
        headline: `"median"`, `"p90"` or `"throughput"`: what stands for the model in this mode.
        processes: What each process's worker reported, in the order of the rounds.
        check: How far its outputs are from those of reference kernels: by output `decibel`, signal
            to noise, None where nothing differs, and `agreement` of top-1 answers; `samples`; or
            `unchecked`, the reason why they were not compared.
        accuracy: Share of labels it got right; None without labels.
        error: Why it could not be measured, or None.
    """

    name: str
    model: str
    setting: Setting
    file_bytes: int
    weight_bytes: int
    sha256: str
    samples: int = 1
    headline: str = "median"
    processes: list[dict] = field(default_factory=list, repr=False)
    check: dict | None = None
    accuracy: float | None = None
    error: str | None = None

    @property
    def measured(self) -> bool:
        """Whether there is anything to say about its time."""
        return not self.error and bool(self.processes)

    @property
    def windows(self) -> list[dict]:
        """Stretches of steady runs, of all processes."""
        return [window for process in self.processes for window in process["windows"]]

    @cached_property
    def process_medians_ms(self) -> list[float]:
        """Median of the steady runs of each process."""
        return [
            float(np.median([window["median"] for window in process["windows"]])) / 1e3
            for process in self.processes
        ]

    @property
    def median_ms(self) -> float:
        """Median over the processes' medians."""
        return float(np.median(self.process_medians_ms))

    @cached_property
    def median_interval_ms(self) -> tuple[float, float]:
        """95 % interval of `median_ms`; of fewer than six processes only where they were."""
        return median_interval(self.process_medians_ms)

    @property
    def variation(self) -> float:
        """Deviation of the processes' medians over their mean; 0 for one process."""
        medians = self.process_medians_ms
        return float(np.std(medians, ddof=1) / np.mean(medians)) if len(medians) > 1 else 0.0

    @property
    def min_ms(self) -> float:
        """The fastest run."""
        return min(window["min"] for window in self.windows) / 1e3

    @property
    def p90_ms(self) -> float:
        """Median over the windows' 90th percentiles."""
        return float(np.median([window["p90"] for window in self.windows])) / 1e3

    @property
    def p99_ms(self) -> float | None:
        """Median over the windows' 99th percentiles; None for fewer than 1,000 runs in all."""
        if self.runs < _RUNS_FOR_P99:
            return None
        return float(np.median([window["p99"] for window in self.windows])) / 1e3

    @property
    def throughput(self) -> float:
        """Samples per second, what lies between invocations included; median over windows."""
        rates = [window["runs"] / window["seconds"] for window in self.windows]
        return self.samples * float(np.median(rates))

    @property
    def runs(self) -> int:
        """Timed runs over all processes."""
        return sum(window["runs"] for window in self.windows)

    @property
    def outliers(self) -> int:
        """Runs more than five median deviations above their window's median: seen, not dropped."""
        return sum(outliers(window["samples_us"]) for window in self.windows)

    @property
    def import_ms(self) -> float:
        """Loading NumPy's and LiteRT's code; median over processes."""
        return self._over_processes("import_us") / 1e3

    @property
    def load_ms(self) -> float:
        """Reading the file; median over processes."""
        return self._over_processes("load_us") / 1e3

    @property
    def allocate_ms(self) -> float:
        """Setting its tensors aside, kernels made ready; median over processes."""
        return self._over_processes("allocate_us") / 1e3

    @property
    def first_ms(self) -> float:
        """First invocation, caches cold; median over processes."""
        return self._over_processes("first_us") / 1e3

    @property
    def warmup_ms(self) -> float:
        """All runs of the first warm-up, which count for nothing else; median over processes."""
        found = [process["windows"][0]["warmup_us"] for process in self.processes]
        return float(np.median(found)) / 1e3

    @property
    def arena_bytes(self) -> int | None:
        """Tensors that LiteRT itself holds, in and out and between its kernels.

        Those inside XNNPACK are not among them: `kernels="builtin"` shows all. None for a
        CompiledModel, which does not show them.
        """
        return self._memory("arena")

    @property
    def growth_bytes(self) -> int | None:
        """Memory of its own that the process took from loading to the first run; median.

        Without what is fed. None where the system does not tell.
        """
        return self._memory("grown_anonymous")

    @property
    def mapped_bytes(self) -> int | None:
        """Pages of files, the model's and code's, that it touched meanwhile; median."""
        whole, own = self._memory("grown"), self._memory("grown_anonymous")
        return None if None in (whole, own) else max(0, whole - own)

    @property
    def peak_memory_bytes(self) -> int:
        """Peak resident memory of the process, NumPy, LiteRT and what is fed in it."""
        return self._memory("peak")

    @property
    def leaked_bytes(self) -> int | None:
        """By how much a process grew during a window; median, 0 where it did not."""
        grown = [window["grown_bytes"] for window in self.windows]
        return None if None in grown else max(0, int(np.median(grown)))

    def summary(self) -> dict:
        """The figures without the samples."""
        found = {
            "name": self.name,
            "model": self.model,
            "setting": asdict(self.setting),
            "file_bytes": self.file_bytes,
            "weight_bytes": self.weight_bytes,
            "sha256": self.sha256,
            "samples": self.samples,
            "headline": self.headline,
            "check": self.check,
            "accuracy": self.accuracy,
            "error": self.error,
        }
        if not self.measured:
            return found
        return found | {
            "processes": len(self.processes),
            "median_interval_ms": list(self.median_interval_ms),
            **{name: getattr(self, name) for name in _FIGURES},
        }

    def _memory(self, part: str) -> int | None:
        found = [process["memory"][part] for process in self.processes]
        return None if None in found else int(np.median(found))

    def _over_processes(self, phase: str) -> float:
        return float(np.median([process[phase] for process in self.processes]))


_FIGURES = (
    "runs",
    "import_ms",
    "load_ms",
    "allocate_ms",
    "first_ms",
    "warmup_ms",
    "median_ms",
    "variation",
    "min_ms",
    "p90_ms",
    "p99_ms",
    "throughput",
    "outliers",
    "arena_bytes",
    "growth_bytes",
    "mapped_bytes",
    "peak_memory_bytes",
    "leaked_bytes",
)

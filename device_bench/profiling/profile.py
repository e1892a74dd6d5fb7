"""`profile`: the time of each kernel of a model."""

import json
import os
from dataclasses import asdict, dataclass

import numpy as np

from converters.array_files import save_arrays
from converters.as_flatbuffer import as_flatbuffer
from converters.child import ChildError, run_module
from converters.feeding import feeding
from converters.flatbuffer import Flatbuffer
from converters.model_info import ModelInfo
from converters.one_line import as_cell
from converters.reader import read_model
from converters.samples import Samples
from converters.temporary import temporary_folder
from device_bench.environment import package_version
from device_bench.finding import Finding
from device_bench.host.jobs import memory_left, pinned_cores
from device_bench.setting import Setting

_RUNS = 300
_SECONDS = 10.0
_PATIENCE = 120
# LiteRT's C interface is not promised to stay; with these it was tried.
_TRIED = ("2.3",)


@dataclass(frozen=True)
class Row:
    """One kernel of a run.

    Attributes:
        name: Of the kernel, as LiteRT calls it.
        node: Number of the op in the file; of delegated kernels that in the delegate.
        delegated: Whether it ran inside a delegate, such as XNNPACK.
        microseconds: Mean over all runs.
        dtype: Of what it computes; None for delegated kernels.
        output: Name of the tensor it computes; None for delegated kernels.
        float_island: Whether it computes floats in a model whose other ops are integer.
    """

    name: str
    node: int
    delegated: bool
    microseconds: float
    dtype: str | None = None
    output: str | None = None
    float_island: bool = False


@dataclass(frozen=True)
class Profile(Finding):
    """Where the time of a run goes.

    Attributes:
        rows: Kernels in the order they run.
        runs: How many the times are means of: the quieter half of those that were made.
        invoke_us: Mean time of a run with the profiler on.
        plain_us: With it off.
        setting: Kernels and threads.
        note: That this version of LiteRT was not tried, if so.
    """

    rows: tuple[Row, ...]
    runs: int
    invoke_us: float
    plain_us: float
    setting: Setting
    note: str | None = None
    kind = "profile"

    @property
    def residual_us(self) -> float:
        """Of a run without the profiler, what no row accounts for: the call and the graph's steps.

        Below 0 where the profiler makes the kernels themselves slower.
        """
        return self.plain_us - sum(row.microseconds for row in self.rows)

    @property
    def overhead_us(self) -> float:
        """What the profiler adds to a run."""
        return self.invoke_us - self.plain_us

    @property
    def delegated_share(self) -> float | None:
        """Of the rows' time, the share inside a delegate; None where all are too short to count."""
        whole = sum(row.microseconds for row in self.rows)
        inside = sum(row.microseconds for row in self.rows if row.delegated)
        return inside / whole if whole else None

    @property
    def float_islands(self) -> list[Row]:
        """Rows that compute floats in an integer model."""
        return [row for row in self.rows if row.float_island]

    def by_name(self) -> dict[str, float]:
        """Microseconds of all rows of a name together, longest first."""
        found: dict[str, float] = {}
        for row in self.rows:
            found[row.name] = found.get(row.name, 0.0) + row.microseconds
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    def table(self):
        """The rows as a `rich` table, and what they leave."""
        from rich import box
        from rich.table import Table

        table = Table(box=box.SIMPLE_HEAD, caption=self._caption(), caption_justify="left")
        for column in ("op", "kernel", "where", "dtype", "output", "µs", "%"):
            left = column in ("kernel", "where", "dtype", "output")
            table.add_column(column, justify="left" if left else "right")
        for row in self.rows:
            table.add_row(
                str(row.node),
                row.name,
                "delegate" if row.delegated else "LiteRT",
                (row.dtype or "") + (" island" if row.float_island else ""),
                as_cell(row.output or ""),
                f"{row.microseconds:.1f}",
                f"{100 * row.microseconds / self.plain_us:.1f}",
            )
        table.add_section()
        table.add_row(
            "",
            "residual",
            "",
            "",
            "",
            f"{self.residual_us:.1f}",
            f"{100 * self.residual_us / self.plain_us:.1f}",
        )
        return table

    def _content(self) -> dict:
        return {
            **asdict(self),
            "residual_us": self.residual_us,
            "overhead_us": self.overhead_us,
            "delegated_share": self.delegated_share,
        }

    def _caption(self) -> str:
        share = self.delegated_share
        inside = (
            "all kernels take less than the microsecond that is counted"
            if share is None
            else f"{share:.0%} of the kernels' time is inside a delegate"
        )
        return (
            f"mean of the {self.runs} quieter runs, of {self.plain_us:.1f} µs (and "
            f"{self.overhead_us:.1f} µs of the profiler's own), {self.setting.kernels} kernels, "
            f"{self.setting.threads} thread(s); {inside}; "
            "those inside a delegate are fused and have numbers of their own"
            + (f". {self.note}" if self.note else "")
        )


def profile(
    model: Flatbuffer | str | os.PathLike,
    inputs: Samples | None = None,
    kernels: str = "xnnpack",
    threads: int = 1,
    seed: int = 0,
    signature: str | None = None,
) -> Profile:
    """The time of each kernel of a model, from LiteRT's own profiler.

    XNNPACK's kernels are fused ones, with numbers of their own; `kernels="builtin"` gives a row for
    each op of the file. The profiler adds to the time and counts whole microseconds: those of ops
    even out over runs, those of XNNPACK's kernels are rounded down, the shortest to 0.

    Example:
        >>> found = profile("model.tflite")
        >>> print(found)
        >>> found.by_name(), found.residual_us

    Args:
        model: A Flatbuffer or a path.
        inputs: A batch of real samples, as `benchmark` takes them. Defaults to `None`: random.
        kernels: `"xnnpack"` or `"builtin"`. Defaults to `"xnnpack"`.
        threads: Of the kernels. Defaults to `1`.
        seed: Of random inputs. Defaults to `0`.
        signature: Key of the signature to run, where the file has several. Defaults to `None`:
            `"serving_default"`, or the first.

    Raises:
        ValueError: A setting or signature that does not exist, unusable inputs, or a model that
            does not run.
        RuntimeError: This version of LiteRT does not let its profiler be reached.
        FileNotFoundError: A file is missing.
    """
    setting = Setting(kernels, threads, runtime="compiled")
    flatbuffer = as_flatbuffer(model).only(signature)  # LiteRT's profiler runs the first
    info = read_model(flatbuffer.content)
    with temporary_folder("profile") as folder:
        (folder / "model.tflite").write_bytes(flatbuffer.content)
        job = {
            "model": str(folder / "model.tflite"),
            "inputs": None,
            "step": feeding(info).step,
            "seed": seed,
            "kernels": kernels,
            "threads": threads,
            "cores": pinned_cores(threads),
            "memory": memory_left(),
            "runs": _RUNS,
            "seconds": _SECONDS,
        }
        if inputs is not None:
            save_arrays(folder / "inputs.npz", flatbuffer.named_inputs(inputs, "inputs"))
            job["inputs"] = str(folder / "inputs.npz")
        (folder / "job.json").write_text(json.dumps(job))
        try:
            output = run_module(
                "device_bench.profiling.worker", str(folder / "job.json"), timeout=_PATIENCE
            )
        except ChildError as error:
            raise _unavailable(error, flatbuffer) from None
    lines = [line for line in output.splitlines() if line.startswith('{"rows"')]
    found = json.loads(lines[-1])
    dtypes = {tensor.dtype for op in info.ops for tensor in op.output_tensors}
    integer = bool(dtypes.intersection(("int8", "uint8", "int16")))
    rows = tuple(_row(info, integer, *each) for each in found.pop("rows"))
    version, tried = _version()
    note = None if tried else f"LiteRT {version} was not tried; its answers held together"
    return Profile(rows, setting=setting, note=note, **found)


def _version() -> tuple[str, bool]:
    """LiteRT's, and whether its profiler was tried."""
    version = str(package_version("ai-edge-litert"))
    return version, any(version.startswith(f"{known}.") for known in _TRIED)


def _row(
    info: ModelInfo, integer: bool, name: str, node: int, delegated: bool, microseconds: float
) -> Row:
    if delegated:
        return Row(name, node, True, microseconds)
    op = next((op for op in info.ops if op.subgraph == 0 and op.index == node), None)
    if op is None or not op.output_tensors:
        return Row(name, node, False, microseconds)
    made = op.output_tensors[0]
    at_the_edge = op.name in ("QUANTIZE", "DEQUANTIZE")
    island = integer and "float" in made.dtype and not at_the_edge
    return Row(name, node, False, microseconds, made.dtype, made.name, island)


def _unavailable(error: ChildError, flatbuffer: Flatbuffer) -> Exception:
    """A model that does not run anyway, or a profiler that cannot be reached."""
    try:
        flatbuffer.predict(
            {name: np.zeros(shape, "float32") for name, shape in flatbuffer.input_shapes.items()}
        )
    except ValueError as reason:
        return ValueError(f"the model does not run: {reason}")
    version, tried = _version()
    words = "" if tried else f"; it was tried with {', '.join(_TRIED)}"
    return RuntimeError(f"LiteRT {version} does not let its profiler be reached: {error}{words}")

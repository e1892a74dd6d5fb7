"""`estimate`: time and energy of a model on a processor, on paper."""

import os
from dataclasses import asdict, dataclass

from converters.as_flatbuffer import as_flatbuffer
from converters.executions import work
from converters.flatbuffer import Flatbuffer
from converters.macs import multiply_accumulates
from converters.model_info import OpInfo, TensorInfo
from converters.reader import read_model
from device_bench.estimates.processors import PROCESSORS, Processor, Range
from device_bench.finding import Finding

_BITS = {"int4": 4, "int2": 2}
_BYTES = {"float32": 4, "int32": 4, "float16": 2, "int16": 2, "float64": 8, "int64": 8}


@dataclass(frozen=True)
class OpEstimate:
    """One op on paper.

    Attributes:
        op: Its name.
        macs: Multiply-accumulates.
        bytes: Read and written: inputs, constants, outputs.
        milliseconds_range: The longer of computing and moving, at the processor's best and worst.
        bound: `"compute"` or `"memory"`: which that is, in the middle.
        microjoules_range: At best and worst; None where energy was not measured.
    """

    op: str
    macs: int
    bytes: int
    milliseconds_range: Range
    bound: str
    microjoules_range: Range | None


@dataclass(frozen=True)
class Estimate(Finding):
    """A model on paper: what to expect where nothing is in the way, not what will be measured.

    Attributes:
        ops: In the order they run.
        processor: What it is for.
    """

    ops: tuple[OpEstimate, ...]
    processor: Processor
    kind = "estimate"

    @property
    def milliseconds_range(self) -> Range:
        """Of all ops, from best to worst."""
        return _sum(op.milliseconds_range for op in self.ops)

    @property
    def milliseconds(self) -> float:
        """The middle of the range."""
        return self.milliseconds_range.middle

    @property
    def microjoules_range(self) -> Range | None:
        """Of all ops, from best to worst; None where energy was not measured."""
        found = [op.microjoules_range for op in self.ops]
        return None if None in found else _sum(found)

    @property
    def microjoules(self) -> float | None:
        """The middle of the range; None where energy was not measured."""
        found = self.microjoules_range
        return None if found is None else found.middle

    @property
    def macs(self) -> int:
        """Of all ops."""
        return sum(op.macs for op in self.ops)

    def _content(self) -> dict:
        joules = self.microjoules_range
        return {
            "processor": asdict(self.processor),
            "milliseconds": self.milliseconds,
            "milliseconds_range": asdict(self.milliseconds_range),
            "microjoules": self.microjoules,
            "microjoules_range": joules and asdict(joules),
            "macs": self.macs,
            "ops": [asdict(op) for op in self.ops],
        }

    def table(self):
        """The ops as a `rich` table."""
        from rich import box
        from rich.table import Table

        caption = f"Estimates, on paper: {self.processor.name}. {self.processor.source}"
        table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
        for column in ("op", "MACs", "bytes", "ms ≈", "bound by", "µJ ≈"):
            table.add_column(column, justify="left" if column in ("op", "bound by") else "right")
        for op in self.ops:
            figures = _between(op.milliseconds_range), op.bound, _between(op.microjoules_range)
            table.add_row(op.op, f"{op.macs:,}", f"{op.bytes:,}", *figures)
        table.add_section()
        total = sum(op.bytes for op in self.ops)
        figures = _between(self.milliseconds_range), "", _between(self.microjoules_range)
        table.add_row("all", f"{self.macs:,}", f"{total:,}", *figures)
        return table


def estimate(
    model: Flatbuffer | str | os.PathLike,
    processor: str | Processor = "cortex-m4",
    signature: str | None = None,
) -> Estimate:
    """Time and energy of each op, from its multiply-accumulates and bytes, as a range.

    Example:
        >>> found = estimate("model.tflite", "cortex-m4-st")
        >>> found.milliseconds_range, found.microjoules_range
        >>> estimate("model.tflite", Processor("mine", 1e9, 5e8, 4e9, "data sheet"))

    Args:
        model: A Flatbuffer or a path.
        processor: A name out of `PROCESSORS`, or one of your own. Defaults to `"cortex-m4"`,
            whatever the runtime.
        signature: Key of the signature, where the file has several. Defaults to `None`:
            `"serving_default"`, or the first.

    Raises:
        ValueError: No such processor or signature, one that does not compute what the model needs,
            or a file that is not a LiteRT model.
        FileNotFoundError: A file is missing.

    Source: Williams, Waterman and Patterson 2009, "Roofline", CACM 52 (4).
    """
    if not isinstance(processor, Processor):
        if processor not in PROCESSORS:
            raise ValueError(
                f"`processor` must be one of {', '.join(PROCESSORS)}, or a Processor. "
                f"Received: processor={processor!r}"
            )
        processor = PROCESSORS[processor]
    flatbuffer = as_flatbuffer(model)
    model = read_model(flatbuffer.content, signature)
    times = work(model).times
    return Estimate(
        tuple(_estimated(op, processor, times[op.index]) for op in model.ops), processor
    )


def _estimated(op: OpInfo, processor: Processor, times: int) -> OpEstimate:
    """An op that runs so many times, as in the body of a loop."""
    macs = times * multiply_accumulates(op)
    floats = any("float" in tensor.dtype for tensor in op.output_tensors)
    rate = processor.macs_per_second(floats)
    if macs and not rate.least:
        raise ValueError(
            f"`processor` {processor.name} does not compute {op.name} in floats: convert to int8"
        )
    constants = times * sum(tensor.stored_bytes for tensor in op.input_tensors if tensor.constant)
    moving = [*(t for t in op.input_tensors if not t.constant), *op.output_tensors]
    activations = times * sum(_size(tensor) for tensor in moving)
    memory = constants / processor.bytes_per_second + activations / (
        processor.activation_bytes_per_second or processor.bytes_per_second
    )
    best, worst = (macs / figure if macs else 0.0 for figure in (rate.most, rate.least))
    each = processor.picojoules_per_mac(floats)
    return OpEstimate(
        op.name,
        macs,
        constants + activations,
        Range(1000 * max(best, memory), 1000 * max(worst, memory)),
        "compute" if (best * worst) ** 0.5 > memory else "memory",
        None if each is None else Range(macs * each.least / 1e6, macs * each.most / 1e6),
    )


def _sum(ranges) -> Range:
    ranges = list(ranges)
    return Range(sum(r.least for r in ranges), sum(r.most for r in ranges))


def _between(found: Range | None) -> str:
    if found is None:
        return "not measured"
    least, most = f"{found.least:,.4g}", f"{found.most:,.4g}"
    return least if least == most else f"{least} to {most}"


def _size(tensor: TensorInfo) -> int:
    """Bytes of what is computed."""
    if tensor.dtype in _BITS:
        return -(-tensor.size * _BITS[tensor.dtype] // 8)
    return tensor.size * _BYTES.get(tensor.dtype, 1)

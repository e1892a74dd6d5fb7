"""`estimate`: time and energy of a model on a processor, on paper."""

import os
from dataclasses import asdict, dataclass

from converters.as_flatbuffer import as_flatbuffer
from converters.flatbuffer import Flatbuffer
from converters.macs import multiply_accumulates
from converters.reader import OpInfo, TensorInfo, read_model
from device_bench.estimates.processors import ENERGY, PROCESSORS, Processor
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
        milliseconds: The longer of computing and moving.
        bound: `"compute"` or `"memory"`: which that is.
        microjoules: With activations on the chip, and constants where the processor has them.
    """

    op: str
    macs: int
    bytes: int
    milliseconds: float
    bound: str
    microjoules: float


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
    def milliseconds(self) -> float:
        """Of all ops."""
        return sum(op.milliseconds for op in self.ops)

    @property
    def microjoules(self) -> float:
        """Of all ops."""
        return sum(op.microjoules for op in self.ops)

    @property
    def macs(self) -> int:
        """Of all ops."""
        return sum(op.macs for op in self.ops)

    def _content(self) -> dict:
        return {
            "processor": asdict(self.processor),
            "energy": asdict(ENERGY),
            "milliseconds": self.milliseconds,
            "microjoules": self.microjoules,
            "macs": self.macs,
            "ops": [asdict(op) for op in self.ops],
        }

    def table(self):
        """The ops as a `rich` table."""
        from rich import box
        from rich.table import Table

        caption = (
            f"Estimates, on paper: {self.processor.name}, {self.processor.source}. "
            f"Energy: {ENERGY.source}"
        )
        table = Table(box=box.SIMPLE_HEAD, caption=caption, caption_justify="left")
        for column in ("op", "MACs", "bytes", "ms ≈", "bound by", "µJ ≈"):
            table.add_column(column, justify="left" if column in ("op", "bound by") else "right")
        for op in self.ops:
            table.add_row(
                op.op,
                f"{op.macs:,}",
                f"{op.bytes:,}",
                f"{op.milliseconds:.4f}",
                op.bound,
                f"{op.microjoules:.3f}",
            )
        table.add_section()
        total = sum(op.bytes for op in self.ops)
        figures = (f"{self.milliseconds:.4f}", "", f"{self.microjoules:.3f}")
        table.add_row("all", f"{self.macs:,}", f"{total:,}", *figures)
        return table


def estimate(
    model: Flatbuffer | str | os.PathLike, processor: str | Processor = "cortex-m4"
) -> Estimate:
    """Time and energy of each op, from its multiply-accumulates and bytes.

    Example:
        >>> found = estimate("model.tflite", "cortex-m4")
        >>> found.milliseconds, found.microjoules
        >>> estimate("model.tflite", Processor("mine", 1e9, 5e8, 4e9, "data sheet"))

    Args:
        model: A Flatbuffer or a path.
        processor: A name out of `PROCESSORS`, or one of your own. Defaults to `"cortex-m4"`.

    Raises:
        ValueError: No such processor, one that does not compute what the model needs, or a file
            that is not a LiteRT model.
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
    ops = read_model(flatbuffer.content).ops
    return Estimate(tuple(_estimated(op, processor) for op in ops), processor)


def _estimated(op: OpInfo, processor: Processor) -> OpEstimate:
    macs = multiply_accumulates(op)
    floats = any("float" in tensor.dtype for tensor in op.output_tensors)
    rate = processor.float_macs_per_second if floats else processor.int8_macs_per_second
    if macs and not rate:
        raise ValueError(
            f"`processor` {processor.name} does not compute {op.name} in floats: convert to int8"
        )
    constants = sum(tensor.stored_bytes for tensor in op.input_tensors if tensor.constant)
    moving = [*(t for t in op.input_tensors if not t.constant), *op.output_tensors]
    moved = sum(_size(tensor) for tensor in moving)
    compute = macs / rate if macs else 0.0
    memory = (constants + moved) / processor.bytes_per_second
    each = ENERGY.float_mac if floats else ENERGY.int8_mac
    stored = ENERGY.sram_byte if processor.constants_on_chip else ENERGY.dram_byte
    joules = macs * each + constants * stored + moved * ENERGY.sram_byte
    return OpEstimate(
        op.name,
        macs,
        constants + moved,
        1000 * max(compute, memory),
        "compute" if compute > memory else "memory",
        joules / 1e6,
    )


def _size(tensor: TensorInfo) -> int:
    """Bytes of what is computed."""
    if tensor.dtype in _BITS:
        return -(-tensor.size * _BITS[tensor.dtype] // 8)
    return tensor.size * _BYTES.get(tensor.dtype, 1)

"""`inspect`: what a `.tflite` file computes, in which dtypes, and what goes in and out."""

import gzip
import json
import os
from collections import Counter
from dataclasses import asdict, dataclass
from functools import cached_property

import numpy as np

from converters.flatbuffer import Flatbuffer
from converters.macs import multiply_accumulates
from converters.metadata import Metadata, read_metadata
from converters.reader import (
    DAMAGE,
    CorruptFlatbuffer,
    ModelInfo,
    OpInfo,
    TensorInfo,
    read_model,
)
from converters.targets import Unsupported, unsupported

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_CONVERSIONS = ("QUANTIZE", "DEQUANTIZE", "DENSIFY", "CAST")
_CONTROL = ("WHILE", "IF", "CALL_ONCE", "STABLEHLO_WHILE")  # what they call computes
_WEIGHT_DTYPES = ("float16", "float32", "int8", "int4", "int2", "uint8")


@dataclass(frozen=True)
class Edge:
    """An input or output: what a program must feed or will get.

    A real value is `(stored − zero_point) · scale` where `scale` is not None.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    scale: float | None
    zero_point: int | None


@dataclass(frozen=True)
class Op:
    """One operator, in order of execution; dtypes are those of its activations.

    Ops with a `subgraph` other than 0 are called by an op before, as the body of a loop is.
    """

    index: int
    name: str
    inputs: tuple[str, ...]
    weights: tuple[str, ...]
    outputs: tuple[str, ...]
    macs: int
    subgraph: int = 0

    @property
    def dtype(self) -> str:
        """The dtype it computes in: `int8`, `float32`, or `float32×int8` with integer weights."""
        dtype = next(iter(self.inputs or self.outputs), "none")
        weight = next(iter(self.weights), dtype)
        mixed = dtype in _FLOATS and weight not in (*_FLOATS, "int32")
        return f"{dtype}×{weight}" if mixed else dtype


@dataclass(frozen=True)
class Weight:
    """A constant tensor of rank 2 or more that the model computes with.

    `bytes` is what it takes in the file, `dense_bytes` what it would with its zeros: they differ
    where it is stored sparse.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    bytes: int
    dense_bytes: int
    zeros: int
    elements: int
    distinct: int | None

    @property
    def sparsity(self) -> float:
        """Share of zeros, 0 to 1."""
        return self.zeros / self.elements if self.elements else 0.0


class Inspection:
    """What `inspect` found.

    Args:
        model: The model as read.
        content: The bytes of the file.
    """

    def __init__(self, model: ModelInfo, content: bytes):
        self._content = content
        self.bytes = len(content)
        self._model_ops = model.ops
        self.ops = [_op(op) for op in model.ops]
        self.inputs = [_edge(name, tensor) for name, tensor in model.inputs.items()]
        self.outputs = [_edge(name, tensor) for name, tensor in model.outputs.items()]
        made = {t.index for op in model.ops for t in op.output_tensors if op.name == "DENSIFY"}
        self._weight_tensors = [t for t in model.tensors if _is_weight(t) and t.index not in made]

    @cached_property
    def weights(self) -> list[Weight]:
        """The constants the model computes with."""
        return [_weight(tensor) for tensor in self._weight_tensors]

    @property
    def weight_dtypes(self) -> dict[str, int]:
        """`{dtype: number of weights stored so}`."""
        return dict(Counter(tensor.dtype for tensor in self._weight_tensors))

    @cached_property
    def gzip_bytes(self) -> int:
        """Bytes after `gzip -9`."""
        return len(gzip.compress(self._content, compresslevel=9, mtime=0))

    @cached_property
    def metadata(self) -> Metadata:
        """What the file says of itself: description, normalization, labels, files behind it.

        Raises:
            CorruptFlatbuffer: Its metadata are damaged, which keeps no runtime from running it.
        """
        return read_metadata(self._content)

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one run, zeros included; a loop's body counts once."""
        return sum(op.macs for op in self.ops)

    @property
    def sparsity(self) -> float:
        """Share of zeros over all weights together, 0 to 1."""
        elements = sum(w.elements for w in self.weights)
        return sum(w.zeros for w in self.weights) / elements if elements else 0.0

    @cached_property
    def float_islands(self) -> list[Op]:
        """Ops that compute in float inside a file whose other ops compute in integers.

        Conversions at the edges do not count: they are what the user asked for.
        """
        if not any(_computes(op) and op.dtype.startswith("int") for op in self.ops):
            return []
        return [op for op in self.ops if _computes(op) and op.dtype.startswith(_FLOATS)]

    @property
    def op_dtypes(self) -> dict[str, int]:
        """`{dtype: number of ops that compute in it}`, conversions and loops left out."""
        counts: dict[str, int] = {}
        for op in self.ops:
            if _computes(op):
                counts[op.dtype] = counts.get(op.dtype, 0) + 1
        return counts

    def unsupported(self, target: str) -> list[Unsupported]:
        """The ops that do not run on a target, each with the reason.

        Example:
            >>> inspect("model.tflite").unsupported("ethos-u")
            [Unsupported(index=3, op='GATHER', reason='ethos-u has no such op')]

        Args:
            target: `"litert"`, `"litert-gpu"`, `"tflite-micro"`, `"ethos-u"` or `"edgetpu"`.

        Raises:
            ValueError: An unknown target.
        """
        return unsupported(self._model_ops, target)

    def summary(self) -> str:
        """Size, work, sparsity and float islands in one line."""
        sparse = [w for w in self.weights if w.bytes != w.dense_bytes]
        stored, dense = (sum(getattr(w, n) for w in sparse) for n in ("bytes", "dense_bytes"))
        as_sparse = f" (stored sparse: {stored:,} bytes for {dense:,})" if sparse else ""
        islands = ", ".join(f"{op.index} {op.name}" for op in self.float_islands) or "none"
        return (
            f"{self.bytes:,} bytes ({self.gzip_bytes:,} gzip), {self.macs:,} multiply-accumulates, "
            f"{self.sparsity:.1%} of the weights are zero{as_sparse}, float islands: {islands}"
            f"{self._said()}"
        )

    def _said(self) -> str:
        try:
            found = self.metadata.summary()
        except CorruptFlatbuffer as error:
            found = str(error)
        return f"\nmetadata: {found}" if found else ""

    def tables(self) -> list:
        """Edges, ops and weights as `rich` tables."""
        from rich import box
        from rich.table import Table

        def table(title: str, *columns: str) -> Table:
            return Table(*columns, title=title, title_justify="left", box=box.SIMPLE_HEAD)

        edges = table("Edges", "edge", "name", "shape", "dtype", "scale", "zero point")
        for kind, group in (("input", self.inputs), ("output", self.outputs)):
            for e in group:
                scale = "" if e.scale is None else f"{e.scale:.7g}"
                zero = "" if e.zero_point is None else str(e.zero_point)
                edges.add_row(kind, e.name, _by_x(e.shape), e.dtype, scale, zero)
        ops = table("Ops", "#", "op", "inputs", "weights", "outputs", "MACs")
        for o in self.ops:
            types = (", ".join(t) for t in (o.inputs, o.weights, o.outputs))
            ops.add_row(str(o.index), o.name, *types, f"{o.macs:,}" if o.macs else "")
        columns = ("tensor", "shape", "dtype", "bytes", "dense", "zeros", "distinct")
        weights = table("Weights", *columns)
        for w in self.weights:
            distinct = "" if w.distinct is None else f"{w.distinct:,}"
            dense = "" if w.bytes == w.dense_bytes else f"{w.dense_bytes:,}"
            cells = (f"{w.bytes:,}", dense, f"{w.sparsity:.1%}", distinct)
            weights.add_row(w.name, _by_x(w.shape), w.dtype, *cells)
        return [edges, ops, weights]

    def to_dict(self) -> dict:
        """Everything as JSON-ready values."""
        return {
            "bytes": self.bytes,
            "gzip_bytes": self.gzip_bytes,
            "macs": self.macs,
            "sparsity": self.sparsity,
            "op_dtypes": self.op_dtypes,
            "float_islands": [op.index for op in self.float_islands],
            "metadata": self._metadata(),
            "inputs": [asdict(edge) for edge in self.inputs],
            "outputs": [asdict(edge) for edge in self.outputs],
            "ops": [{**asdict(op), "dtype": op.dtype} for op in self.ops],
            "weights": [{**asdict(w), "sparsity": w.sparsity} for w in self.weights],
        }

    def _metadata(self) -> dict:
        try:
            return self.metadata.to_dict()
        except CorruptFlatbuffer as error:
            return {"error": str(error)}

    def to_json(self) -> str:
        """`to_dict` as text."""
        return json.dumps(self.to_dict(), indent=2, ensure_ascii=False)


def inspect(model: Flatbuffer | str | os.PathLike) -> Inspection:
    """What a LiteRT model computes: ops with dtypes, float islands, size, sparsity, MACs, edges.

    Reads the flatbuffer without running it.

    Example:
        >>> report = inspect("model.tflite")
        >>> report.float_islands
        []
        >>> report.inputs[0].scale, report.inputs[0].zero_point
        (0.00392, -128)

    Args:
        model: A `Flatbuffer`, or the path of a `.tflite` file.

    Raises:
        FileNotFoundError: There is no such file.
        ValueError: It is not a LiteRT model, or damaged.
    """
    flatbuffer = model if isinstance(model, Flatbuffer) else Flatbuffer.from_file(model)
    source = "" if isinstance(model, Flatbuffer) else f"{model}: "
    try:
        return Inspection(read_model(flatbuffer.content), flatbuffer.content)
    except CorruptFlatbuffer as error:
        raise ValueError(f"{source}{error}") from None
    except DAMAGE as error:
        raise ValueError(f"{source}damaged LiteRT flatbuffer: {error}") from None


def _by_x(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def _computes(op: Op) -> bool:
    return op.name not in (*_CONVERSIONS, *_CONTROL)


def _edge(name: str, tensor: TensorInfo) -> Edge:
    quantized = len(tensor.scales) == 1
    return Edge(
        name,
        tensor.shape,
        tensor.dtype,
        tensor.scales[0] if quantized else None,
        tensor.zero_points[0] if quantized and tensor.zero_points else None,
    )


def _op(op: OpInfo) -> Op:
    constants = [t for t in op.input_tensors if t.constant]
    return Op(
        index=op.index,
        name=op.name,
        inputs=tuple(t.dtype for t in op.input_tensors if not t.constant),
        weights=tuple(t.dtype for t in constants),
        outputs=tuple(t.dtype for t in op.output_tensors),
        macs=multiply_accumulates(op),
        subgraph=op.subgraph,
    )


def _is_weight(tensor: TensorInfo) -> bool:
    return tensor.constant and len(tensor.shape) >= 2 and tensor.dtype in _WEIGHT_DTYPES


def _weight(tensor: TensorInfo) -> Weight:
    values = tensor.values
    whole = values if tensor.sparsity else None
    zero = tensor.zero_points[0] if len(tensor.zero_points) == 1 else 0
    return Weight(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        bytes=tensor.stored_bytes,
        dense_bytes=tensor.stored_bytes if whole is None else whole.nbytes,
        zeros=0 if values is None else int(np.sum(values == zero)),
        elements=tensor.size,
        distinct=None if values is None else len(np.unique(values)),
    )

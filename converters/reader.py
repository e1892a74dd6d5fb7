"""A LiteRT flatbuffer as plain objects, read without any native code.

Every vector's length is checked against the file's size before it is walked, so a damaged file
is an error and not an endless loop.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache, cached_property

import numpy as np

from converters.sparse_tensor import decode

# The options that name the subgraphs an op runs, and their accessors.
_CALLS = {
    "WHILE": ("WhileOptions", ("CondSubgraphIndex", "BodySubgraphIndex")),
    "IF": ("IfOptions", ("ThenSubgraphIndex", "ElseSubgraphIndex")),
    "CALL_ONCE": ("CallOnceOptions", ("InitSubgraphIndex",)),
    "STABLEHLO_WHILE": (
        "StablehloWhileOptions",
        ("CondSubgraphIndex", "BodySubgraphIndex"),
    ),
}
_DTYPES = {
    "FLOAT32": "float32",
    "FLOAT16": "float16",
    "BFLOAT16": "bfloat16",
    "FLOAT64": "float64",
    "INT64": "int64",
    "INT32": "int32",
    "INT16": "int16",
    "INT8": "int8",
    "INT4": "int4",
    "INT2": "int2",
    "UINT8": "uint8",
    "UINT16": "uint16",
    "UINT32": "uint32",
    "UINT64": "uint64",
    "BOOL": "bool",
    "STRING": "string",
    "RESOURCE": "resource",
    "VARIANT": "variant",
    "COMPLEX64": "complex64",
}


# How the generated accessors meet damage.
DAMAGE = (
    struct.error,
    ArithmeticError,
    AttributeError,
    LookupError,
    MemoryError,
    RecursionError,
    StopIteration,
    TypeError,
    ValueError,
)


class CorruptFlatbuffer(ValueError):
    """The bytes do not form a LiteRT model."""


@dataclass(frozen=True)
class TensorInfo:
    """A tensor: its shape, dtype, quantisation and, for a constant, its bytes."""

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    data: bytes | None = field(default=None, repr=False)
    sparsity: tuple | None = field(default=None, repr=False)

    @property
    def constant(self) -> bool:
        """Whether its values are in the file."""
        return self.data is not None

    @property
    def stored_bytes(self) -> int:
        """Bytes a constant takes in the file."""
        levels = self.sparsity[2] if self.sparsity else ()
        parts = (part for level in levels if isinstance(level, tuple) for part in level)
        return len(self.data or b"") + sum(part.nbytes for part in parts)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def values(self) -> np.ndarray | None:
        """A constant's stored values; None where the dtype has no plain array form."""
        if self.data is None:
            return None
        if self.sparsity is not None:
            try:
                return decode(np.frombuffer(self.data, self.dtype), self.shape, *self.sparsity)
            except (TypeError, ValueError):
                return None
        if self.dtype == "int4":
            packed = np.frombuffer(self.data, dtype=np.int8)
            both = np.stack([np.left_shift(packed, 4) >> 4, packed >> 4], axis=-1).ravel()
            return both[: self.size].reshape(self.shape)
        try:
            return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True)
class OpInfo:
    """One operator: its name and the tensors it reads and writes."""

    index: int
    name: str
    input_tensors: tuple[TensorInfo, ...]
    output_tensors: tuple[TensorInfo, ...]
    depth_multiplier: int = 1
    subgraph: int = 0
    calls: tuple[int, ...] = ()


@dataclass(frozen=True)
class ModelInfo:
    """What runs: the first subgraph of a model, then those its ops call, as loops do."""

    ops: tuple[OpInfo, ...]
    tensors: tuple[TensorInfo, ...]
    inputs: dict[str, TensorInfo]
    outputs: dict[str, TensorInfo]


def read_model(content: bytes) -> ModelInfo:
    """Read the bytes of a `.tflite` file.

    Raises:
        CorruptFlatbuffer: They do not form a LiteRT model.
    """
    try:
        return _Reader(content).model()
    except CorruptFlatbuffer:
        raise
    except DAMAGE as error:
        raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: {error}") from None


class _Reader:
    def __init__(self, content: bytes):
        from ai_edge_litert import schema_py_generated as schema

        if len(content) < 8 or content[4:8] != b"TFL3":
            raise CorruptFlatbuffer("not a LiteRT flatbuffer: the mark 'TFL3' at byte 4 is missing")
        self.schema = schema
        self.content = content
        self.types = _names(schema.TensorType)
        self.op_names = _names(schema.BuiltinOperator)
        self.vectors = _names(schema.SparseIndexVector)
        self.root = schema.Model.GetRootAs(content, 0)

    def model(self) -> ModelInfo:
        if self.root.SubgraphsLength() < 1:
            raise CorruptFlatbuffer("damaged LiteRT flatbuffer: no subgraph")
        graph = self.root.Subgraphs(0)
        self.codes = [self._op_name(c) for c in self._walk(self.root, "OperatorCodes")]
        tensors, ops = self._subgraph(0)
        inputs = {tensors[i].name: tensors[i] for i in self._numbers(graph, "Inputs")}
        outputs = {tensors[i].name: tensors[i] for i in self._numbers(graph, "Outputs")}
        if self.root.SignatureDefsLength():
            inputs = self._signature("Inputs", tensors)
            outputs = self._signature("Outputs", tensors)
        all_tensors, all_ops, seen = [*tensors], [*ops], {0}
        for op in all_ops:  # which grows while it is walked
            for number in op.calls:
                if number not in seen:
                    seen.add(number)
                    called_tensors, called = self._subgraph(number, len(all_ops))
                    all_tensors += called_tensors
                    all_ops += called
        return ModelInfo(tuple(all_ops), tuple(all_tensors), inputs, outputs)

    def _subgraph(self, number: int, first: int = 0) -> tuple[list[TensorInfo], list[OpInfo]]:
        if not 0 <= number < self.root.SubgraphsLength():
            raise CorruptFlatbuffer(f"damaged LiteRT flatbuffer: no subgraph {number}")
        graph = self.root.Subgraphs(number)
        tensors = [self._tensor(i, t) for i, t in enumerate(self._walk(graph, "Tensors"))]
        ops = []
        for i, op in enumerate(self._walk(graph, "Operators"), first):
            ops.append(self._op(i, op, tensors, number))
            if ops[-1].name == "DENSIFY":  # the same constant to whoever reads it
                whole = ops[-1].output_tensors[0].index
                tensors[whole] = replace(ops[-1].input_tensors[0], index=whole)
        return tensors, ops

    def _walk(self, owner, vector: str) -> Iterator:
        item = getattr(owner, vector)
        return (item(i) for i in range(self._length(owner, vector)))

    def _numbers(self, owner, vector: str) -> list:
        if self._length(owner, vector) == 0:
            return []
        return getattr(owner, f"{vector}AsNumpy")().tolist()

    def _length(self, owner, vector: str) -> int:
        length = getattr(owner, f"{vector}Length")()
        if not 0 <= length <= len(self.content):
            raise CorruptFlatbuffer(
                f"damaged LiteRT flatbuffer: {vector} claims {length} entries in a file of "
                f"{len(self.content)} bytes"
            )
        return length

    def _op_name(self, code) -> str:
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        if self.op_names.get(number) == "CUSTOM" and code.CustomCode():
            return code.CustomCode().decode()
        return self.op_names.get(number, f"UNKNOWN_{number}")

    def _tensor(self, index: int, tensor) -> TensorInfo:
        quantization = tensor.Quantization()
        scales, zero_points = (), ()
        if quantization is not None:
            scales = tuple(self._numbers(quantization, "Scale"))
            zero_points = tuple(self._numbers(quantization, "ZeroPoint"))
        return TensorInfo(
            index=index,
            name=(tensor.Name() or b"").decode(errors="replace"),
            shape=tuple(self._numbers(tensor, "Shape")),
            dtype=_DTYPES.get(self.types[tensor.Type()], self.types[tensor.Type()].lower()),
            scales=scales,
            zero_points=zero_points,
            data=self._data(tensor.Buffer()),
            sparsity=None if tensor.Sparsity() is None else self._sparsity(tensor.Sparsity()),
        )

    def _sparsity(self, parameters) -> tuple:
        """What `decode` takes: order, block map and levels."""
        levels = []
        for level in self._walk(parameters, "DimMetadata"):
            if level.Format() == self.schema.DimensionType.DENSE:
                levels.append(int(level.DenseSize()))
                continue
            pair = []
            for name in ("ArraySegments", "ArrayIndices"):
                kind = self.vectors[getattr(level, f"{name}Type")()]
                vector, table = getattr(self.schema, kind)(), getattr(level, name)()
                vector.Init(table.Bytes, table.Pos)
                self._length(vector, "Values")
                pair.append(np.atleast_1d(vector.ValuesAsNumpy()))
            levels.append(tuple(pair))
        order = self._numbers(parameters, "TraversalOrder")
        return order, self._numbers(parameters, "BlockMap"), levels

    def _data(self, index: int) -> bytes | None:
        if index == 0 or index >= self.root.BuffersLength():
            return None
        buffer = self.root.Buffers(index)
        if buffer.Offset() > 1:  # large models keep their data behind the flatbuffer
            start, size = buffer.Offset(), buffer.Size()
            if start + size > len(self.content):
                raise CorruptFlatbuffer("damaged LiteRT flatbuffer: data beyond the end of file")
            return self.content[start : start + size]
        if self._length(buffer, "Data") == 0:
            return None
        return buffer.DataAsNumpy().tobytes()

    def _op(self, index: int, op, tensors, subgraph: int) -> OpInfo:
        def pick(vector):
            return tuple(tensors[i] for i in self._numbers(op, vector) if i >= 0)

        name = self.codes[op.OpcodeIndex()]
        multiplier, calls = 1, ()
        if name == "DEPTHWISE_CONV_2D" and op.BuiltinOptions() is not None:
            multiplier = self._options(op, "DepthwiseConv2DOptions").DepthMultiplier()
        if name in _CALLS:
            kind, accessors = _CALLS[name]
            options = self._options(op, kind)
            calls = tuple(int(getattr(options, accessor)()) for accessor in accessors)
        inputs, outputs = pick("Inputs"), pick("Outputs")
        return OpInfo(index, name, inputs, outputs, multiplier, subgraph, calls)

    def _options(self, op, kind: str):
        second = kind.startswith("Stablehlo")
        table = op.BuiltinOptions2() if second else op.BuiltinOptions()
        options = getattr(self.schema, kind)()
        options.Init(table.Bytes, table.Pos)
        return options

    def _signature(self, vector: str, tensors) -> dict[str, TensorInfo]:
        """`{name: tensor}` of the first signature, by name."""
        entries = self._walk(self.root.SignatureDefs(0), vector)
        named = {e.Name().decode(errors="replace"): tensors[e.TensorIndex()] for e in entries}
        return dict(sorted(named.items()))


@cache
def builtin_names() -> frozenset[str]:
    """Names of the ops that every LiteRT runtime has."""
    from ai_edge_litert.schema_py_generated import BuiltinOperator

    return frozenset(_names(BuiltinOperator).values())


def _names(enum) -> dict[int, str]:
    return {value: key for key, value in vars(enum).items() if isinstance(value, int)}

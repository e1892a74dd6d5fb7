"""A flatbuffer as objects that can be changed and written back."""

import copy
import hashlib
from collections.abc import Iterable

import flatbuffers
import numpy as np

_PACKED = {"INT4": 4, "INT2": 2}
# What the schema promises of a constant's data, and vector loads rely on, in bytes.
ALIGNMENT = 16
_ROOM_FOR_GRAPH = 1 << 16
# Weights that several signatures read are stored once. Shorter constants are shapes and axes,
# which are changed one by one.
_WORTH_SHARING = 64


class FlatFile:
    """A subgraph of a LiteRT model with its tensors, and the buffers and op codes of the model.

    Args:
        content: The bytes of a `.tflite`.
        subgraph: Its number. Defaults to `0`.

    Attributes:
        model: All of the file.
        graph: The subgraph.
        subgraph: Its number.
    """

    def __init__(self, content: bytes, subgraph: int = 0):
        from ai_edge_litert import schema_py_generated as schema

        self.schema = schema
        self.model = schema.ModelT.InitFromPackedBuf(content, 0)
        for buffer in self.model.buffers:
            if buffer.offset > 1:  # its data lie behind the flatbuffer
                data = content[buffer.offset : buffer.offset + buffer.size]
                buffer.data, buffer.offset, buffer.size = np.frombuffer(data, "uint8"), 0, 0
        self._seen: set[int] = set()
        self._look_at(subgraph)
        _fill_gaps(self.model)
        self._op_names = {
            v: k for k, v in vars(schema.BuiltinOperator).items() if isinstance(v, int)
        }
        self._types = {v: k for k, v in vars(schema.TensorType).items() if isinstance(v, int)}

    def _look_at(self, subgraph: int) -> None:
        self.subgraph, self.graph = subgraph, self.model.subgraphs[subgraph]
        self._seen.add(subgraph)

    def of(self, subgraphs: Iterable[int]) -> list["FlatFile"]:
        """Other subgraphs of the same file; what is changed in one is written by each."""
        views = []
        for number in subgraphs:
            views.append(copy.copy(self))
            views[-1]._look_at(number)
        return views

    def op_name(self, op) -> str:
        """Name of an operator as the schema spells it."""
        code = self.model.operatorCodes[op.opcodeIndex]
        return self._op_names[max(code.builtinCode, code.deprecatedBuiltinCode)]

    def dtype(self, tensor: int) -> str:
        """`"float32"`, `"int8"`, …"""
        return self._types[self.graph.tensors[tensor].type].lower()

    def constant(self, tensor: int) -> np.ndarray | None:
        """Values of a float32 constant, None for anything else."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        if self.dtype(tensor) != "float32" or data is None or len(data) == 0:
            return None
        shape = self.graph.tensors[tensor].shape
        return np.asarray(data, "uint8").view("<f4").reshape([] if shape is None else shape)

    def integer_constant(self, tensor: int) -> np.ndarray | None:
        """Values of an int32 constant, None for anything else."""
        data = self.model.buffers[self.graph.tensors[tensor].buffer].data
        if self.dtype(tensor) != "int32" or data is None or len(data) == 0:
            return None
        return np.asarray(data, "uint8").view("<i4")

    def add_tensor(self, like: int, dtype: str) -> int:
        """A new tensor of `like`'s shape and name with another dtype; its index."""
        original = self.graph.tensors[like]
        tensor = self.schema.TensorT()
        tensor.name = original.name
        tensor.shape = original.shape
        tensor.shapeSignature = original.shapeSignature
        tensor.hasRank = original.hasRank
        tensor.type = getattr(self.schema.TensorType, dtype.upper())
        tensor.buffer = 0
        self.graph.tensors.append(tensor)
        return len(self.graph.tensors) - 1

    def set_grid(self, tensor: int, scales, zero_points, axis: int | None = None) -> None:
        """Give the tensor its quantisation parameters."""
        parameters = self.schema.QuantizationParametersT()
        parameters.scale = np.atleast_1d(np.asarray(scales, "float32"))
        parameters.zeroPoint = np.broadcast_to(
            np.asarray(zero_points, "int64"), parameters.scale.shape
        ).copy()
        parameters.quantizedDimension = axis or 0
        self.graph.tensors[tensor].quantization = parameters

    def set_values(self, tensor: int, values: np.ndarray) -> None:
        """Make the tensor a constant; values of INT4 and INT2 tensors are packed."""
        bits = _PACKED.get(self._types[self.graph.tensors[tensor].type])
        raw = pack(values, bits) if bits else values.astype(values.dtype.newbyteorder("<"))
        buffer = self.schema.BufferT()
        buffer.data = np.frombuffer(raw.tobytes(), "uint8")
        self.model.buffers.append(buffer)
        self.graph.tensors[tensor].buffer = len(self.model.buffers) - 1

    def new_op(self, name: str, inputs: list[int], outputs: list[int], version: int = 1):
        """An operator without options."""
        op = self.schema.OperatorT()
        op.opcodeIndex = self._op_code(name, version)
        op.inputs, op.outputs = np.array(inputs, "int32"), np.array(outputs, "int32")
        return op

    def with_version(self, op, version: int) -> None:
        """Raise the operator's version where the dtypes it works on came with a later one."""
        code = self.model.operatorCodes[op.opcodeIndex]
        if code.version < version:
            op.opcodeIndex = self._op_code(self.op_name(op), version)

    def _op_code(self, name: str, version: int) -> int:
        builtin = getattr(self.schema.BuiltinOperator, name)
        for index, code in enumerate(self.model.operatorCodes):
            same = max(code.builtinCode, code.deprecatedBuiltinCode) == builtin
            if same and code.version == version:
                return index
        code = self.schema.OperatorCodeT()
        code.builtinCode = builtin
        code.deprecatedBuiltinCode = min(builtin, 127)
        code.version = version
        self.model.operatorCodes.append(code)
        return len(self.model.operatorCodes) - 1

    def tobytes(self) -> bytes:
        """The file, without the tensors, buffers and op codes nothing uses any more."""
        self._drop_unused()
        return self.with_all_tensors()

    def with_all_tensors(self) -> bytes:
        """The file with every tensor at the index it had."""
        constants = sum(len(b.data) for b in self.model.buffers if b.data is not None)
        # With room for all of it from the start, it is not copied as it grows.
        builder = _SharingBuilder(constants + constants // 64 + _ROOM_FOR_GRAPH)
        builder.Finish(self.model.Pack(builder), b"TFL3")
        return bytes(memoryview(builder.Bytes)[builder.head :])

    def _drop_unused(self) -> None:
        for view in self.of(sorted(self._seen)):
            view._drop_unused_tensors()
        self._drop_unused_codes()
        self._share_equal_buffers()
        self._drop_unused_buffers()

    def _drop_unused_tensors(self) -> None:
        graph, model = self.graph, self.model
        used = set(graph.inputs) | set(graph.outputs)
        for op in graph.operators:
            used |= {int(t) for t in [*op.inputs, *op.outputs, *_intermediates(op)] if t >= 0}
        used |= {t for index in used for t in _block_tensors(graph.tensors[int(index)])}
        new = {old: i for i, old in enumerate(sorted(int(t) for t in used))}
        graph.tensors = [graph.tensors[old] for old in new]
        for tensor in graph.tensors:
            if _block_tensors(tensor):
                details = tensor.quantization.details
                details.scales = new[details.scales]
                if details.zeroPoints > 0:
                    details.zeroPoints = new[details.zeroPoints]
        for op in graph.operators:
            op.inputs = _renumber(op.inputs, new)
            op.outputs = _renumber(op.outputs, new)
            if len(_intermediates(op)):
                op.intermediates = _renumber(op.intermediates, new)
        graph.inputs, graph.outputs = _renumber(graph.inputs, new), _renumber(graph.outputs, new)
        for signature in model.signatureDefs or []:
            if signature.subgraphIndex == self.subgraph:
                for entry in [*(signature.inputs or []), *(signature.outputs or [])]:
                    entry.tensorIndex = new[entry.tensorIndex]

    def _drop_unused_codes(self) -> None:
        ops = [op for graph in self.model.subgraphs for op in graph.operators]
        kept = sorted({op.opcodeIndex for op in ops})
        new = {old: i for i, old in enumerate(kept)}
        self.model.operatorCodes = [self.model.operatorCodes[old] for old in kept]
        for op in ops:
            op.opcodeIndex = new[op.opcodeIndex]

    def _share_equal_buffers(self) -> None:
        """Let tensors read the first of several buffers with the same bytes."""
        if len(self._seen) < 2:
            return
        first: dict[bytes, int] = {}
        same: dict[int, int] = {}
        for index, buffer in enumerate(self.model.buffers):
            if buffer.data is not None and len(buffer.data) >= _WORTH_SHARING:
                digest = hashlib.sha256(np.ascontiguousarray(buffer.data)).digest()
                same[index] = first.setdefault(digest, index)
        for graph in self.model.subgraphs:
            for tensor in graph.tensors:
                tensor.buffer = same.get(tensor.buffer, tensor.buffer)

    def _drop_unused_buffers(self) -> None:
        tensors = [t for graph in self.model.subgraphs for t in graph.tensors]
        metadata = self.model.metadata or []
        kept = sorted({0} | {t.buffer for t in tensors} | {m.buffer for m in metadata})
        new = {old: i for i, old in enumerate(kept)}
        self.model.buffers = [self.model.buffers[old] for old in kept]
        for holder in [*tensors, *metadata]:
            holder.buffer = new[holder.buffer]


class _SharingBuilder(flatbuffers.Builder):
    """Writes equal vectors of numbers once, such as the zero points of every kernel."""

    def __init__(self, size: int):
        super().__init__(size)
        self._written: dict[tuple[str, bytes], int] = {}

    def CreateNumpyVector(self, x):
        if x.dtype == np.uint8:  # a buffer
            return self._create_bytes(x)
        key = x.dtype.str, x.tobytes()
        if key not in self._written:
            self._written[key] = super().CreateNumpyVector(x)
        return self._written[key]

    def _create_bytes(self, x: np.ndarray) -> int:
        self.StartVector(1, len(x), ALIGNMENT)
        self.head -= len(x)
        self.Bytes[self.head : self.head + len(x)] = memoryview(np.ascontiguousarray(x))
        return self.EndVector()


def pack(values: np.ndarray, bits: int) -> np.ndarray:
    """Small integers, several to a byte, the first in the lowest bits.

    Args:
        values: Integers that fit `bits` bits, two's complement.
        bits: 4 or 2.

    Source: LiteRT schema, TensorType.INT4 and INT2.
    """
    per_byte = 8 // bits
    flat = values.astype("int8").view("uint8").ravel() & (2**bits - 1)
    flat = np.pad(flat, (0, -len(flat) % per_byte)).reshape(-1, per_byte)
    return np.bitwise_or.reduce(flat << (np.arange(per_byte) * bits).astype("uint8"), axis=1)


def _fill_gaps(model) -> None:
    """Let what a subgraph or op without inputs or outputs leaves out be empty."""
    for graph in model.subgraphs:
        for holder in (graph, *(graph.operators or ())):
            for side in ("inputs", "outputs"):
                if getattr(holder, side) is None:
                    setattr(holder, side, np.empty(0, "int32"))
        graph.operators = graph.operators or []


def _block_tensors(tensor) -> list[int]:
    """The tensors with the scales and zero points of one that is quantised by blocks."""
    details = tensor.quantization and tensor.quantization.details
    if not hasattr(details, "blockSize"):
        return []
    return [t for t in (details.scales, details.zeroPoints) if t > 0]


def _intermediates(op):
    return [] if op.intermediates is None else op.intermediates


def _renumber(indices, new) -> np.ndarray:
    return np.array([new[int(i)] if i >= 0 else -1 for i in indices], "int32")

"""Small flatbuffers written by hand: no converter, no waiting."""

from dataclasses import dataclass

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

from converters import Flatbuffer


@dataclass(frozen=True)
class Tensor:
    """A tensor; a constant where it has data."""

    name: str
    shape: tuple
    dtype: str = "float32"
    scales: tuple = ()
    zero_point: int = 0
    data: np.ndarray | None = None
    axis: int = 0
    open_shape: tuple | None = None


def flatbuffer(tensors, ops, inputs, outputs) -> Flatbuffer:
    """A model of one graph.

    Args:
        tensors: `Tensor`s.
        ops: `(name, inputs, outputs, options)`; the options' class ends with `T`.
        inputs: Numbers of tensors.
        outputs: Alike.
    """
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.subgraphs = 3, [graph]
    model.buffers, model.operatorCodes = [schema.BufferT()], []
    graph.tensors, graph.operators = [_tensor(t, model.buffers) for t in tensors], []
    graph.inputs, graph.outputs = list(inputs), list(outputs)
    for name, read, written, options in ops:
        code = schema.OperatorCodeT()
        if hasattr(schema.BuiltinOperator, name):
            code.builtinCode = getattr(schema.BuiltinOperator, name)
        else:
            code.builtinCode, code.customCode = schema.BuiltinOperator.CUSTOM, name
        code.deprecatedBuiltinCode, code.version = min(code.builtinCode, 127), 1
        op = schema.OperatorT()
        op.opcodeIndex, op.inputs, op.outputs = len(model.operatorCodes), list(read), list(written)
        if options is not None:
            kind = type(options).__name__.removesuffix("T")
            op.builtinOptionsType = getattr(schema.BuiltinOptions, kind)
            op.builtinOptions = options
        model.operatorCodes.append(code)
        graph.operators.append(op)
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), b"TFL3")
    return Flatbuffer(bytes(builder.Output()))


def _tensor(tensor: Tensor, buffers: list):
    made = schema.TensorT()
    made.name, made.shape, made.buffer = tensor.name, list(tensor.shape), 0
    made.hasRank = True
    made.type = getattr(schema.TensorType, tensor.dtype.upper())
    if tensor.open_shape is not None:
        made.shapeSignature = list(tensor.open_shape)
    if tensor.scales:
        grid = schema.QuantizationParametersT()
        grid.scale = list(tensor.scales)
        grid.zeroPoint = [tensor.zero_point] * len(tensor.scales)
        grid.quantizedDimension = tensor.axis
        made.quantization = grid
    if tensor.data is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(tensor.data).tobytes(), "uint8")
        made.buffer = len(buffers)
        buffers.append(buffer)
    return made


def dense_chain(widths: list[int]) -> Flatbuffer:
    """Dense layers in int8, as a converter writes them."""
    rng = np.random.default_rng(0)
    tensors = [Tensor("x", (1, widths[0]), "int8", (0.05,), 3)]
    ops = []
    for number, (units, out) in enumerate(zip(widths, widths[1:], strict=False)):
        first = len(tensors)
        kernel = rng.integers(-127, 128, (out, units)).astype("int8")
        bias = rng.integers(-900, 900, out).astype("int32")
        tensors += [
            Tensor(f"kernel{number}", (out, units), "int8", (0.02,), 0, kernel),
            Tensor(f"bias{number}", (out,), "int32", (0.001,), 0, bias),
            Tensor(f"y{number}", (1, out), "int8", (0.05,), -4),
        ]
        options = schema.FullyConnectedOptionsT()
        ops.append(("FULLY_CONNECTED", [first - 1, first, first + 1], [first + 2], options))
    return flatbuffer(tensors, ops, [0], [len(tensors) - 1])


def lookup(rows: int = 5) -> Flatbuffer:
    """Rows of a table, by an int32 index."""
    table = 1 + np.arange(rows * 3, dtype="float32").reshape(rows, 3)
    return flatbuffer(
        [
            Tensor("index", (1, 4), "int32"),
            Tensor("table", (rows, 3), data=table),
            Tensor("chosen", (1, 4, 3)),
        ],
        [("GATHER", [1, 0], [2], schema.GatherOptionsT())],
        [0],
        [2],
    )


def elementwise(op: str, dtype: str, second: np.ndarray, options) -> Flatbuffer:
    """An op of an input and a constant, on numbers without a scale."""
    return flatbuffer(
        [
            Tensor("x", (1, second.size), dtype),
            Tensor("constant", second.shape, dtype, data=second.astype(dtype)),
            Tensor("y", (1, second.size), dtype),
        ],
        [(op, [0, 1], [2], options)],
        [0],
        [2],
    )

"""The smallest `.tflite` files there are: one op each, of any builtin and any dtype."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

IMAGE = (1, 4, 4, 2)
# Scales and zero points that kernels insist on, by op: of outputs in int8, uint8, int16.
_FIXED = {
    "LOGISTIC": ((1 / 256, -128), (1 / 256, 0), (1 / 32768, 0)),
    "SOFTMAX": ((1 / 256, -128), (1 / 256, 0), (1 / 32768, 0)),
    "LOG_SOFTMAX": ((16 / 256, 127), (16 / 256, 255), (16 / 65536, 32767)),
    "TANH": ((1 / 128, 0), (1 / 128, 128), (1 / 32768, 0)),
    "L2_NORMALIZATION": ((1 / 128, 0), (1 / 128, 128), (1 / 32768, 0)),
}
_QUANTIZED = ("int8", "uint8", "int16", "int4")
_OPTIONS = {
    "AVERAGE_POOL_2D": "Pool2DOptions",
    "MAX_POOL_2D": "Pool2DOptions",
    "L2_POOL_2D": "Pool2DOptions",
    "L2_NORMALIZATION": "L2NormOptions",
    "PADV2": "PadV2Options",
    "SELECT_V2": "SelectV2Options",
    "CONV_3D_TRANSPOSE": "Conv3DOptions",
    "CONCATENATION": "ConcatenationOptions",
    **dict.fromkeys(
        ("MEAN", "SUM", "REDUCE_MAX", "REDUCE_MIN", "REDUCE_PROD", "REDUCE_ANY", "REDUCE_ALL"),
        "ReducerOptions",
    ),
    "RNN": "RNNOptions",
    "UNIDIRECTIONAL_SEQUENCE_RNN": "SequenceRNNOptions",
    "RANDOM_STANDARD_NORMAL": "RandomOptions",
    "RANDOM_UNIFORM": "RandomOptions",
    "MULTINOMIAL": "RandomOptions",
    "MAXIMUM": "MaximumMinimumOptions",
    "MINIMUM": "MaximumMinimumOptions",
}


@dataclass(frozen=True)
class Operand:
    """A tensor of the op; a constant where it has `values`."""

    shape: tuple[int, ...]
    dtype: str
    values: object = None
    scales: tuple[float, ...] = ()
    zero_point: int = 0
    variable: bool = False
    quantized_dimension: int = 0


@dataclass(frozen=True)
class OneOp:
    """An op with its inputs, outputs and settings."""

    name: str
    inputs: Sequence[Operand | None]
    outputs: Sequence[Operand]
    options: Mapping[str, object] = field(default_factory=dict)
    version: int = 1
    custom: bool = False
    intermediates: Sequence[Operand] = ()


def one_op_file(op: OneOp) -> bytes:
    """A model of that op alone, whose inputs are all that is not constant."""
    model, graph = schema.ModelT(), schema.SubGraphT()
    model.version, model.buffers = 3, [schema.BufferT()]
    graph.tensors, graph.name = [], "main"
    operator = schema.OperatorT()
    operator.inputs = [
        -1 if t is None else _add(model, graph, t, f"in{i}") for i, t in enumerate(op.inputs)
    ]
    operator.outputs = [_add(model, graph, t, f"out{i}") for i, t in enumerate(op.outputs)]
    operator.intermediates = [
        _add(model, graph, t, f"between{i}") for i, t in enumerate(op.intermediates)
    ]
    operator.opcodeIndex = 0
    _set_options(operator, op)
    fed = zip(operator.inputs, op.inputs, strict=True)
    graph.inputs = [i for i, t in fed if t is not None and t.values is None and not t.variable]
    graph.outputs, graph.operators = list(operator.outputs), [operator]
    code = schema.OperatorCodeT()
    number = (
        schema.BuiltinOperator.CUSTOM if op.custom else getattr(schema.BuiltinOperator, op.name)
    )
    code.builtinCode, code.deprecatedBuiltinCode = number, min(number, 127)
    code.version = op.version
    if op.custom:
        code.customCode = op.name
    model.operatorCodes, model.subgraphs = [code], [graph]
    builder = flatbuffers.Builder(1024)
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def _add(model, graph, operand: Operand, name: str) -> int:
    tensor = schema.TensorT()
    tensor.name, tensor.shape, tensor.hasRank = name, list(operand.shape), True
    tensor.type = getattr(schema.TensorType, operand.dtype.upper())
    tensor.isVariable = operand.variable
    if operand.scales:
        tensor.quantization = schema.QuantizationParametersT()
        tensor.quantization.scale = list(operand.scales)
        tensor.quantization.quantizedDimension = operand.quantized_dimension
        tensor.quantization.zeroPoint = [operand.zero_point] * len(operand.scales)
    tensor.buffer = 0
    if operand.values is not None:
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(_stored(operand), np.uint8)
        model.buffers.append(buffer)
        tensor.buffer = len(model.buffers) - 1
    graph.tensors.append(tensor)
    return len(graph.tensors) - 1


def _stored(operand: Operand) -> bytes:
    values = np.broadcast_to(np.asarray(operand.values), operand.shape)
    if operand.dtype == "string":
        return np.array([1, 12, 13], np.int32).tobytes() + b"a"
    if operand.dtype == "int4":
        return np.zeros(-(-values.size // 2), np.uint8).tobytes()
    if operand.dtype == "bfloat16":
        return np.zeros(values.size, np.uint16).tobytes()
    return values.astype(operand.dtype).tobytes()


def _set_options(operator, op: OneOp) -> None:
    if op.custom:
        operator.customOptions = None
        return
    for union, field_name in (
        (schema.BuiltinOptions, "builtinOptions"),
        (schema.BuiltinOptions2, "builtinOptions2"),
    ):
        known = {k.lower(): k for k, v in vars(union).items() if isinstance(v, int)}
        plain = _OPTIONS.get(op.name, f"{op.name.replace('_', '')}options").lower()
        if plain in known:
            options = getattr(schema, f"{known[plain]}T")()
            for name, value in op.options.items():
                setattr(options, name, value)
            setattr(operator, field_name, options)
            setattr(operator, f"{field_name}Type", getattr(union, known[plain]))


def data(shape: tuple[int, ...], dtype: str, plain: bool = False, fixed: str = "") -> Operand:
    """An activation; quantized in the dtypes that stand for reals, unless `plain`."""
    if dtype not in _QUANTIZED or plain:
        return Operand(shape, dtype)
    scale, zero = 0.1, 128 if dtype == "uint8" else 0
    if fixed in _FIXED:
        scale, zero = _FIXED[fixed][("int8", "uint8", "int16").index(dtype)]
    return Operand(shape, dtype, None, (scale,), zero)


def ints(*values: int, dtype: str = "int32") -> Operand:
    """A constant list of indices, axes or sizes."""
    return Operand((len(values),), dtype, list(values))


def weights(shape: tuple[int, ...], dtype: str, channels: int = 1, scale: float = 0.1) -> Operand:
    """A constant of integers that stand for reals, or of floats."""
    if dtype.startswith("float"):
        return Operand(shape, dtype, 0.5)
    return Operand(shape, dtype, 3, (scale,) * channels, 128 if dtype == "uint8" else 0)

"""The dtype in which an op's kernel computes: that of its data, not of shapes and indices."""

from dataclasses import dataclass

from converters.model_info import OpInfo, TensorInfo

FLOATS = ("float16", "bfloat16", "float32", "float64")
# Where the data of ops are whose first input is a shape, an axis, a condition or a variable.
_DATA = {
    "ASSIGN_VARIABLE": 1,
    "CONV_3D_TRANSPOSE": 2,
    "EMBEDDING_LOOKUP": 1,
    "EMBEDDING_LOOKUP_SPARSE": 3,
    "FILL": 1,
    "HASHTABLE_IMPORT": 2,
    "ONE_HOT": 2,
    "SCATTER_ND": 1,
    "SELECT": 1,
    "SELECT_V2": 1,
    "SPARSE_TO_DENSE": 2,
    "SPLIT": 1,
    "TRANSPOSE_CONV": 2,
}
# They read the shape of their input and nothing else.
OF_SHAPES = ("RANK", "SHAPE")
# Their input says what they compute, constant or not.
_CONVERSIONS = ("BITCAST", "CAST", "DENSIFY", "DEQUANTIZE", "QUANTIZE")
# Ops whose kernels take float data with integer weights, and quantize the data as they run.
HYBRID = (
    "BATCH_MATMUL",
    "BIDIRECTIONAL_SEQUENCE_LSTM",
    "BIDIRECTIONAL_SEQUENCE_RNN",
    "CONV_2D",
    "DEPTHWISE_CONV_2D",
    "EMBEDDING_LOOKUP",
    "FULLY_CONNECTED",
    "LSTM",
    "RNN",
    "SVDF",
    "TRANSPOSE_CONV",
    "UNIDIRECTIONAL_SEQUENCE_LSTM",
    "UNIDIRECTIONAL_SEQUENCE_RNN",
)
_STORED = ("int2", "int4", "uint4", "int8", "uint8", "int16")


@dataclass(frozen=True)
class Kernel:
    """In what an op computes.

    Attributes:
        data: Dtype of its data.
        weights: Dtype of integer weights that it takes with float data; None elsewhere.
        quantized: Whether its data are integers that stand for reals.
    """

    data: str
    weights: str | None
    quantized: bool

    @property
    def dtype(self) -> str:
        """`int8`, `float32`, or `float32×int8` with integer weights."""
        return self.data if self.weights is None else f"{self.data}×{self.weights}"

    @property
    def floating(self) -> bool:
        """Whether its data are floats."""
        return self.data in FLOATS


def kernel_of(op: OpInfo) -> Kernel:
    """In what an op computes."""
    tensor = data_tensor(op)
    if tensor is None:
        return Kernel("none", None, False)
    weights = None
    if tensor.dtype in FLOATS and op.name in HYBRID:
        stored = [t.dtype for t in op.input_tensors if t.constant and t.dtype in _STORED]
        weights = next(iter(stored), None)
    quantized = bool(tensor.scales) and tensor.dtype not in FLOATS
    return Kernel(tensor.dtype, weights, quantized)


def data_tensor(op: OpInfo) -> TensorInfo | None:
    """The tensor whose dtype says in what an op computes; None for an op without tensors."""
    result = next(iter(op.output_tensors), None)
    if op.name in OF_SHAPES:
        return result
    first = op.slot(_DATA.get(op.name, 0))
    if op.name in _CONVERSIONS and first is not None:
        return first
    if first is not None and not first.constant and first.dtype not in ("resource", "variant"):
        return first
    computed = [t for t in op.input_tensors if not t.constant and t.dtype != "resource"]
    same = [t for t in computed if result is not None and t.dtype == result.dtype]
    if same:
        return same[0]
    if first is None and computed:
        return computed[0]
    return result or next(iter(computed or op.input_tensors), None)

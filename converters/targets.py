"""What keeps an op off a target: a table of rules for each, checked without the target's tools."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from converters.flatbuffer_tables import builtin_names
from converters.model_info import OpInfo, TensorInfo

_FLOATS = ("float16", "bfloat16", "float32", "float64")
_EIGHT_BITS = ("int8", "uint8")
# Ops whose kernels, given float activations and integer weights, compute in integers.
_HYBRID = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED", "TRANSPOSE_CONV")
# Their second input is not computed with: shapes, axes, paddings, indices.
_INDEX_INPUTS = ("int32", "int64", "bool")


@dataclass(frozen=True)
class Unsupported:
    """An op that does not run on a target.

    Attributes:
        index: Its place in the order of execution.
        op: Its name.
        reason: Why not, in words.
    """

    index: int
    op: str
    reason: str


@dataclass(frozen=True)
class Target:
    """Where a file is to run.

    Attributes:
        name: What `inspect(file).unsupported` calls it.
        runs: What the target is, in words.
        ops: Names of the ops it has; None for all that LiteRT has.
        rules: Each says why an op cannot run, or None.
        source: Where ops and rules come from.
        elsewhere: What happens to an op that does not run there.
    """

    name: str
    runs: str
    ops: frozenset[str] | None
    rules: tuple[Callable[[OpInfo], str | None], ...]
    source: str
    elsewhere: str


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


def _computed(op: OpInfo) -> list[TensorInfo]:
    """What flows in and out, without constants, shapes and indices."""
    inputs = [t for t in op.input_tensors if not t.constant]
    return [t for t in (*inputs, *op.output_tensors) if t.dtype not in _INDEX_INPUTS]


def _weights(op: OpInfo) -> list[TensorInfo]:
    return [t for t in op.input_tensors if t.constant and t.dtype not in _INDEX_INPUTS]


def _custom(op: OpInfo) -> str | None:
    if op.name.startswith("Flex"):
        return "a TensorFlow op, which needs the Flex delegate"
    return None if op.name in builtin_names() else "a custom op, which the app has to register"


def _only_8_bits(op: OpInfo) -> str | None:
    found = sorted({t.dtype for t in _computed(op)} - set(_EIGHT_BITS))
    return f"{', '.join(found)} activations: only int8 and uint8 run there" if found else None


def _only_integers(op: OpInfo) -> str | None:
    found = sorted({t.dtype for t in _computed(op)} & set(_FLOATS))
    return f"{', '.join(found)} activations: only integers run there" if found else None


def _no_hybrid(op: OpInfo) -> str | None:
    if op.name not in _HYBRID or _computed(op)[0].dtype not in _FLOATS:
        return None
    found = [t.dtype for t in _weights(op) if t.dtype not in _FLOATS]
    return f"{found[0]} weights with float activations (dynamic range)" if found else None


def _no_half(op: OpInfo) -> str | None:
    halves = [t for t in op.input_tensors if t.dtype == "float16"]
    return "float16 weights" if halves else None


def _static(op: OpInfo) -> str | None:
    return "a shape that is not fixed" if any(-1 in t.shape for t in _computed(op)) else None


def _float_only(*names: str) -> Callable[[OpInfo], str | None]:
    def rule(op: OpInfo) -> str | None:
        inputs = [t.dtype for t in op.input_tensors if t.dtype not in _INDEX_INPUTS]
        integer = op.name in names and inputs and inputs[0] not in _FLOATS
        return f"{inputs[0]}: its kernel is float32 alone" if integer else None

    return rule


def _no_16_bits(*names: str) -> Callable[[OpInfo], str | None]:
    def rule(op: OpInfo) -> str | None:
        if op.name not in names and names:
            return None
        return "int16 activations" if any(t.dtype == "int16" for t in _computed(op)) else None

    return rule


def _one_scale_dequantized(op: OpInfo) -> str | None:
    if op.name != "DEQUANTIZE":
        return None
    (tensor,) = op.input_tensors
    if tensor.dtype == "int4":
        return "int4 weights"
    # It takes the first of several for all, and says nothing.
    return "weights with a scale per channel" if len(tensor.scales) > 1 else None


def _no_4_bit_channels(op: OpInfo) -> str | None:
    narrow = [t for t in _weights(op) if t.dtype == "int4"]
    if op.name != "FULLY_CONNECTED" or not narrow or len(narrow[0].scales) == 1:
        return None
    return "int4 weights with a scale per channel"


def _few_dimensions(op: OpInfo) -> str | None:
    most = max((len(t.shape) for t in _computed(op)), default=0)
    return f"{most} dimensions, of at most 4" if most > 4 else None


def _one_sample_deep(op: OpInfo) -> str | None:
    for tensor in _computed(op):
        if any(side > 1 for side in tensor.shape[:-3]):
            shape = "×".join(map(str, tensor.shape))
            return f"shape {shape}: only the last three sides may be longer than 1"
    return None


def _softmax_of_one_vector(op: OpInfo) -> str | None:
    if op.name != "SOFTMAX":
        return None
    shape = op.input_tensors[0].shape
    long = any(side > 1 for side in shape[:-1]) or shape[-1] > 16_000
    return "softmax over more than one vector of 16,000" if long else None


def _no_4_bits(op: OpInfo) -> str | None:
    return "int4 weights" if any(t.dtype == "int4" for t in _weights(op)) else None


def _no_mean_over_channels(op: OpInfo) -> str | None:
    if op.name != "MEAN" or len(op.input_tensors[0].shape) < 3:
        return None
    shape, axes = op.input_tensors[0].shape, op.input_tensors[1].values
    if axes is None or 1 in shape[-3:] or len(shape) - 1 not in np.ravel(axes) % len(shape):
        return None
    return "a mean over channels"


def _scaled_by_a_power_of_two(op: OpInfo) -> str | None:
    if not op.name.startswith("RESIZE"):
        return None
    sides, sizes = op.input_tensors[0].shape[1:3], op.output_tensors[0].shape[1:3]
    factors = {size / side for side, size in zip(sides, sizes, strict=True)}
    if sides in (sizes, (1, 1)) or (len(factors) == 1 and factors <= {2, 4, 8}):
        return None
    return "resizing that is not by 2, 4 or 8 in both directions"


def _padded_like_images(op: OpInfo) -> str | None:
    rank = len(op.input_tensors[0].shape) if op.input_tensors else 4
    padded = op.name in ("PAD", "PADV2", "MIRROR_PAD")
    sliced = op.name in ("SLICE", "STRIDED_SLICE")
    return f"{rank} dimensions, not 3 or 4" if (padded or sliced) and rank not in (3, 4) else None


_MICRO_OPS = _names("""
    ABS ADD ADD_N ARG_MAX ARG_MIN ASSIGN_VARIABLE AVERAGE_POOL_2D BATCH_MATMUL BATCH_TO_SPACE_ND
    BROADCAST_ARGS BROADCAST_TO CALL_ONCE CAST CEIL CONCATENATION CONV_2D COS CUMSUM
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV DYNAMIC_UPDATE_SLICE ELU EMBEDDING_LOOKUP
    EQUAL EXP EXPAND_DIMS FILL FLOOR FLOOR_DIV FLOOR_MOD FULLY_CONNECTED GATHER GATHER_ND GREATER
    GREATER_EQUAL HARD_SWISH IF L2_NORMALIZATION L2_POOL_2D LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGICAL_NOT LOGICAL_OR LOGISTIC LOG_SOFTMAX MAXIMUM MAX_POOL_2D MEAN MINIMUM
    MIRROR_PAD MUL NEG NOT_EQUAL PACK PAD PADV2 PRELU QUANTIZE READ_VARIABLE REDUCE_ALL REDUCE_MAX
    REDUCE_MIN RELU RELU6 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 ROUND RSQRT
    SELECT_V2 SHAPE SIN SLICE SOFTMAX SPACE_TO_BATCH_ND SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE
    SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM SVDF TANH TRANSPOSE TRANSPOSE_CONV
    UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK VAR_HANDLE WHILE ZEROS_LIKE
""")
_ETHOS_U_OPS = _names("""
    ABS ADD ARG_MAX AVERAGE_POOL_2D BATCH_MATMUL CONCATENATION CONV_2D DEPTHWISE_CONV_2D ELU EXP
    EXPAND_DIMS FULLY_CONNECTED GELU HARD_SWISH LEAKY_RELU LOG LOGISTIC MAXIMUM MAX_POOL_2D MEAN
    MINIMUM MIRROR_PAD MUL NEG PACK PAD PADV2 PRELU QUANTIZE REDUCE_MAX REDUCE_MIN RELU RELU6
    RELU_0_TO_1 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR REVERSE_V2 RSQRT
    SLICE SOFTMAX SPLIT SPLIT_V SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH TILE
    TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM UNPACK
""")
_GPU_OPS = _names("""
    ABS ADD ADD_N AVERAGE_POOL_2D BATCH_MATMUL CAST CONCATENATION CONV_2D COS CUMSUM DENSIFY
    DEPTHWISE_CONV_2D DEPTH_TO_SPACE DEQUANTIZE DIV ELU EQUAL EXP FLOOR FLOOR_DIV FLOOR_MOD
    FULLY_CONNECTED GATHER GELU GREATER GREATER_EQUAL HARD_SWISH LEAKY_RELU LESS LESS_EQUAL LOG
    LOGICAL_AND LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MIRROR_PAD MUL NEG NOT_EQUAL
    ONE_HOT PACK PAD PADV2 POW PRELU QUANTIZE REDUCE_MAX REDUCE_MIN REDUCE_PROD RELU RELU6
    RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR RSQRT SELECT SELECT_V2 SIGN SIN
    SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SPLIT_V SQRT SQUARE SQUARED_DIFFERENCE STRIDED_SLICE SUB
    SUM TANH TILE TRANSPOSE TRANSPOSE_CONV
""")
_EDGE_TPU_OPS = _names("""
    ADD AVERAGE_POOL_2D CONCATENATION CONV_2D DEPTHWISE_CONV_2D EXPAND_DIMS FULLY_CONNECTED
    L2_NORMALIZATION LOGISTIC LSTM MAXIMUM MAX_POOL_2D MEAN MINIMUM MUL PACK PAD PRELU QUANTIZE
    REDUCE_MAX REDUCE_MIN RELU RELU6 RELU_N1_TO_1 RESHAPE RESIZE_BILINEAR RESIZE_NEAREST_NEIGHBOR
    RSQRT SLICE SOFTMAX SPACE_TO_DEPTH SPLIT SQUARED_DIFFERENCE SQUEEZE STRIDED_SLICE SUB SUM TANH
    TRANSPOSE TRANSPOSE_CONV UNIDIRECTIONAL_SEQUENCE_LSTM
""")

TARGETS = {
    t.name: t
    for t in (
        Target(
            "litert",
            "LiteRT on a phone's or computer's CPU",
            None,
            (_custom,),
            "LiteRT schema: every builtin op has a CPU kernel",
            "one is enough for the file not to load",
        ),
        Target(
            "litert-gpu",
            "LiteRT's GPU delegate, in half precision",
            _GPU_OPS,
            (_no_16_bits(), _static, _few_dimensions, _padded_like_images),
            "TensorFlow, lite/tools/versioning/gpu_compatibility.cc",
            "values are copied to the CPU and back",
        ),
        Target(
            "tflite-micro",
            "LiteRT for Microcontrollers, reference kernels",
            _MICRO_OPS,
            (
                _no_hybrid,
                _no_half,
                _one_scale_dequantized,
                _static,
                _no_4_bit_channels,
                _float_only("CEIL", "COS", "EXP", "FLOOR", "LOG", "ROUND", "SIN", "SQRT", "SQUARE"),
                _no_16_bits("GATHER", "REDUCE_MAX", "REDUCE_MIN", "RESIZE_BILINEAR"),
            ),
            "the kernels of tflite-micro, tried op by op in release 20261023",
            "one is enough for the interpreter to refuse the file",
        ),
        Target(
            "ethos-u",
            "Arm Ethos-U55 and U65, compiled by Vela",
            _ETHOS_U_OPS,
            (
                _only_integers,
                _static,
                _no_4_bits,
                _no_16_bits("BATCH_MATMUL"),
                _no_mean_over_channels,
                _scaled_by_a_power_of_two,
            ),
            "Vela 5.2, --supported-ops-report, tried op by op",
            "the microcontroller's CPU runs it",
        ),
        Target(
            "edgetpu",
            "Coral Edge TPU",
            _EDGE_TPU_OPS,
            (_only_8_bits, _no_4_bits, _static, _one_sample_deep, _softmax_of_one_vector),
            "coral.ai, Edge TPU models: supported operations",
            "the CPU runs it and all that follow",
        ),
    )
}


def unsupported(ops: tuple[OpInfo, ...], target: str) -> list[Unsupported]:
    """The ops that do not run on a target, in order of execution, each with the reason.

    Raises:
        ValueError: An unknown target.
    """
    if target not in TARGETS:
        raise ValueError(
            f"`target` must be one of {', '.join(TARGETS)}. Received: target={target!r}"
        )
    reasons = ((op, _reason(op, TARGETS[target])) for op in ops)
    return [Unsupported(op.index, op.name, reason) for op, reason in reasons if reason]


def describe_target(target: str, ops: list[Unsupported]) -> str:
    """What `unsupported` found, in a sentence."""
    if not ops:
        return f"all ops run on {target}"
    counts = Counter((op.op, op.reason) for op in ops)
    listed = "; ".join(f"{count} {op} ({reason})" for (op, reason), count in counts.items())
    return f"not on {target}: {listed}. There, {TARGETS[target].elsewhere}"


def _reason(op: OpInfo, target: Target) -> str | None:
    if target.ops is not None and op.name not in target.ops:
        return f"{target.name} has no such op"
    return next(filter(None, (rule(op) for rule in target.rules)), None)

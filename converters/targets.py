"""What keeps an op off a target: a table of rules for each, checked without the target's tools."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

from converters.kernel_tables import KernelTable, kernel_table
from converters.micro_custom_ops import CUSTOM as MICRO_CUSTOM
from converters.model_info import OpInfo
from converters.target_rules import (
    few_dimensions,
    keeps_its_values,
    no_4_bit_channels,
    no_4_bits,
    no_16_bits,
    no_half,
    no_hybrid,
    no_mean_over_channels,
    one_sample_deep,
    one_scale_dequantized,
    only_8_bits,
    only_integers,
    only_numbers_of_the_gpu,
    padded_like_images,
    scaled_by_a_power_of_two,
    softmax_of_one_vector,
    static,
)


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
        kernels: The ops it has, and in which dtypes where that was tried.
        custom: Custom ops it has.
        rules: Each says why an op cannot run, or None.
        source: Where ops and rules come from.
        elsewhere: What happens to an op that does not run there.
    """

    name: str
    runs: str
    kernels: Callable[[], KernelTable]
    custom: frozenset[str]
    rules: tuple[Callable[[OpInfo], str | None], ...]
    source: str
    elsewhere: str

    @property
    def ops(self) -> frozenset[str]:
        """Names of the builtin ops it has."""
        return frozenset(self.kernels().ops)


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


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


def _listed(ops: frozenset[str], source: str) -> Callable[[], KernelTable]:
    """Kernels known by name only."""
    table = KernelTable(dict.fromkeys(ops), frozenset(), frozenset(), {}, source)
    return lambda: table


_GPU_SOURCE = "TensorFlow, lite/tools/versioning/gpu_compatibility.cc and the delegate's parsers"
_EDGE_TPU_SOURCE = "coral.ai, Edge TPU models: supported operations"
# LiteRT's own, and those that XNNPACK has for MediaPipe.
_LITERT_CUSTOM = _names("""
    AudioSpectrogram Convolution2DTransposeBias MaxPoolingWithArgmax2D MaxUnpooling2D Mfcc
    NumericVerify TFLite_Detection_PostProcess
""")
# What MediaPipe adds to the GPU delegate.
_GPU_CUSTOM = _names("""
    AlignmentPointsToTransformMatrix Convolution2DTransposeBias Landmarks2TransformMatrix
    Landmarks2TransformMatrixV2 MaxPoolingWithArgmax2D MaxUnpooling2D RoIToTransformMatrix
    RoIToTransformMatrixV2 TransformLandmarks TransformLandmarksV2 TransformTensor
    TransformTensorBilinearV2
""")

TARGETS = {
    t.name: t
    for t in (
        Target(
            "litert",
            "LiteRT on a phone's or computer's CPU",
            lambda: kernel_table("litert"),
            _LITERT_CUSTOM,
            (),
            "LiteRT's interpreter, tried op by op and dtype by dtype",
            "one is enough for the file not to load",
        ),
        Target(
            "litert-gpu",
            "LiteRT's GPU delegate, in half precision",
            _listed(_GPU_OPS, _GPU_SOURCE),
            _GPU_CUSTOM,
            (
                no_16_bits(),
                only_numbers_of_the_gpu,
                static,
                few_dimensions,
                padded_like_images,
            ),
            _GPU_SOURCE,
            "values are copied to the CPU and back",
        ),
        Target(
            "tflite-micro",
            "LiteRT for Microcontrollers, reference kernels",
            lambda: kernel_table("tflite-micro"),
            frozenset(MICRO_CUSTOM),
            (
                no_hybrid,
                no_half,
                one_scale_dequantized,
                static,
                keeps_its_values,
                no_4_bit_channels,
            ),
            "tflite-micro's interpreter, tried op by op and dtype by dtype",
            "one is enough for the interpreter to refuse the file",
        ),
        Target(
            "ethos-u",
            "Arm Ethos-U55 and U65, compiled by Vela",
            lambda: kernel_table("ethos-u"),
            frozenset({"ethos-u"}),
            (
                only_integers,
                static,
                no_4_bits,
                no_mean_over_channels,
                scaled_by_a_power_of_two,
            ),
            "Vela, tried op by op and dtype by dtype",
            "the microcontroller's CPU runs it",
        ),
        Target(
            "edgetpu",
            "Coral Edge TPU",
            _listed(_EDGE_TPU_OPS, _EDGE_TPU_SOURCE),
            frozenset({"edgetpu-custom-op"}),
            (only_8_bits, no_4_bits, static, one_sample_deep, softmax_of_one_vector),
            _EDGE_TPU_SOURCE,
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
    if op.custom:
        return None if op.name in target.custom else _of_others(op.name)
    kernels = target.kernels()
    if op.name not in kernels.ops:
        return f"{target.name} has no such op"
    rules = (*target.rules, kernels.refusal)
    return next(filter(None, (rule(op) for rule in rules)), None)


def _of_others(name: str) -> str:
    if name.startswith("Flex"):
        return "a TensorFlow op, which needs the Flex delegate"
    if name == "ethos-u":
        return "compiled for an Arm Ethos-U"
    if name == "edgetpu-custom-op":
        return "compiled for a Coral Edge TPU"
    return "a custom op, which the app has to register"

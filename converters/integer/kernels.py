"""LiteRT's integer kernels: which ops have one, and what it asks of the grids around it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from converters.integer.grids import Grid


class Rule(Enum):
    """What a kernel asks of the grids of its inputs and output."""

    OWN = "each tensor on a grid of its own"
    PICKS = "all on one grid, since values are moved or picked"
    AVERAGES = "output on the grid of its input, to which values are rounded"
    FIXED = "output on a grid that is prescribed"


@dataclass(frozen=True)
class Kernel:
    """How an op is computed in integers.

    Args:
        rule: What it asks of grids.
        versions: `{dtype of the activations: version of the op}`; a missing dtype has no kernel.
        weights: Index of the input that is a kernel. Defaults to `None`.
        bias: Index of the input that is the bias beside a kernel. Defaults to `2`.
        channel_axis: Axis of the kernel that counts output channels. Defaults to `0`.
        narrow: `{bits: version}` of kernels that are stored in fewer than eight bits.
        fixed: `{dtype: grid}` of the output under `Rule.FIXED`.
        finest: From the scales of the inputs and the dtype to the scale of the output below
            which LiteRT aborts or refuses the file. Defaults to `None`: there is no such limit.
    """

    rule: Rule
    versions: dict[str, int]
    weights: int | None = None
    bias: int = 2
    channel_axis: int = 0
    narrow: dict[int, int] = field(default_factory=dict)
    fixed: dict[str, Grid] = field(default_factory=dict)
    finest: Callable[[list[float], str], float] | None = None


def _versions(int8: int | None, int16: int | None) -> dict[str, int]:
    return {d: v for d, v in (("int8", int8), ("int16", int16)) if v}


def _own(int8=None, int16=None, **details) -> Kernel:
    return Kernel(Rule.OWN, _versions(int8, int16), **details)


def _picks(int8=None, int16=None) -> Kernel:
    return Kernel(Rule.PICKS, _versions(int8, int16))


def _averages(int8=None, int16=None) -> Kernel:
    return Kernel(Rule.AVERAGES, _versions(int8, int16))


def _fixed(int8=None, int16=None, *, grid: Grid, grid16: Grid | None = None) -> Kernel:
    grids = {"int8": grid, "int16": grid16}
    return Kernel(Rule.FIXED, _versions(int8, int16), fixed=grids)


# These kernels shift their inputs to the left, and may only scale the result down again.
# Source: tensorflow/lite/kernels/{add,sub,squared_difference,activations}.cc.
def _finest_sum(scales: list[float], dtype: str) -> float:
    return 2 * max(scales) / 2 ** (20 if dtype == "int8" else 15)


def _finest_squared_difference(scales: list[float], dtype: str) -> float:
    return (2 * max(scales) / 2**7) ** 2


def _finest_hard_swish(scales: list[float], dtype: str) -> float:
    return max(scales) / 2**7


_UNIT, _UNIT16 = Grid("int8", 1 / 256, -128), Grid("int16", 1 / 32768)
_SIGNED = Grid("int8", 1 / 128, 0)

# Versions: tensorflow/compiler/mlir/lite/tools/versioning/op_version.cc.
KERNELS = {
    "CONV_2D": _own(3, 4, weights=1, narrow={4: 7}),
    "DEPTHWISE_CONV_2D": _own(3, 5, weights=1, channel_axis=3, narrow={4: 6}),
    "FULLY_CONNECTED": _own(4, 7, weights=1, narrow={4: 10}),
    "TRANSPOSE_CONV": _own(3, 4, weights=1, bias=3),
    "BATCH_MATMUL": _own(2, 3),
    "ADD": _own(2, 3, finest=_finest_sum),
    "SUB": _own(3, 5, finest=_finest_sum),
    "MUL": _own(2, 4),
    "SQUARED_DIFFERENCE": _own(2, finest=_finest_squared_difference),
    "MEAN": _own(2, 3),
    "EXP": _own(2, 2),
    "LOG": _own(2),
    "RSQRT": _own(2, 3),
    "ABS": _own(2, 3),
    "ELU": _own(1),
    "GELU": _own(2),
    "HARD_SWISH": _own(1, finest=_finest_hard_swish),
    "LEAKY_RELU": _own(2, 2),
    "PRELU": _own(1),
    "RELU": _own(2, 3),
    "RELU6": _own(2, 3),
    "RELU_N1_TO_1": _own(1),
    "LOGISTIC": _fixed(2, 3, grid=_UNIT, grid16=_UNIT16),
    "SOFTMAX": _fixed(2, 3, grid=_UNIT, grid16=_UNIT16),
    "TANH": _fixed(2, 3, grid=_SIGNED, grid16=_UNIT16),
    "LOG_SOFTMAX": _fixed(2, grid=Grid("int8", 16 / 256, 127)),
    "L2_NORMALIZATION": _fixed(2, grid=_SIGNED),
    "AVERAGE_POOL_2D": _averages(2, 3),
    "RESIZE_BILINEAR": _averages(2, 4),
    "BATCH_TO_SPACE_ND": _picks(2),
    "BROADCAST_TO": _picks(2, 3),
    "CONCATENATION": _picks(2, 3),
    "DEPTH_TO_SPACE": _picks(1),
    "DYNAMIC_UPDATE_SLICE": _picks(1),
    "EXPAND_DIMS": _picks(1, 1),
    "GATHER": _picks(2, 4),
    "GATHER_ND": _picks(2, 4),
    "MAXIMUM": _picks(2, 4),
    "MAX_POOL_2D": _picks(2, 3),
    "MINIMUM": _picks(2, 4),
    "MIRROR_PAD": _picks(2, 3),
    "ONE_HOT": _picks(1),
    "PACK": _picks(2, 3),
    "PAD": _picks(2, 3),
    "PADV2": _picks(2),
    "REDUCE_MAX": _picks(2, 3),
    "REDUCE_MIN": _picks(2, 3),
    "RESHAPE": _picks(1, 1),
    "RESIZE_NEAREST_NEIGHBOR": _picks(2, 4),
    "REVERSE_V2": _picks(3, 3),
    "SELECT": _picks(1, 1),
    "SELECT_V2": _picks(1, 1),
    "SLICE": _picks(2, 4),
    "SPACE_TO_BATCH_ND": _picks(2),
    "SPACE_TO_DEPTH": _picks(2),
    "SPLIT": _picks(2, 4),
    "SPLIT_V": _picks(2, 2),
    "SQUEEZE": _picks(1, 1),
    "STRIDED_SLICE": _picks(2, 4),
    "TILE": _picks(1, 1),
    "TRANSPOSE": _picks(2, 4),
    "UNPACK": _picks(2, 4),
}

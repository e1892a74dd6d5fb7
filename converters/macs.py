"""Multiply-accumulates of an operator, from its shapes."""

import math
from collections.abc import Callable

from converters.model_info import OpInfo, TensorInfo


def multiply_accumulates(op: OpInfo) -> int:
    """Multiply-accumulates of one run of the op; 0 for ops that do not multiply with weights.

    Zeros in the weights count too: the figure says what a dense kernel computes. A size that is
    open counts as the file has it, which is 1.
    """
    count = _COUNTS.get(op.name)
    return 0 if count is None else count(op)


def uncounted(op: OpInfo) -> bool:
    """Whether the op may multiply with weights in a way that this table does not know."""
    return op.name not in _COUNTS and (op.custom or op.name in _UNKNOWN)


# Ops that multiply with weights, of a kind that LiteRT's own kernels do not run.
_UNKNOWN = (
    "CONCAT_EMBEDDINGS",
    "LSH_PROJECTION",
    "STABLEHLO_CONVOLUTION",
    "STABLEHLO_DOT_GENERAL",
)


def _convolution(op: OpInfo) -> int:
    """Filters are (out, h, w, in / groups)."""
    return op.output_tensors[0].size * math.prod(op.slots[1].shape[1:])


def _depthwise(op: OpInfo) -> int:
    """Filters are (1, h, w, out)."""
    return op.output_tensors[0].size * math.prod(op.slots[1].shape[1:3])


def _convolution_3d(op: OpInfo) -> int:
    """Filters are (d, h, w, in, out)."""
    return op.output_tensors[0].size * math.prod(op.slots[1].shape[:4])


def _transposed(op: OpInfo) -> int:
    """Inputs are the output's shape, filters (out, h, w, in), data."""
    return op.slots[2].size * math.prod(op.slots[1].shape[:3])


def _transposed_3d(op: OpInfo) -> int:
    """Inputs are the output's shape, filters (d, h, w, out, in), data."""
    return op.slots[2].size * math.prod(op.slots[1].shape[:4])


def _transposed_with_bias(op: OpInfo) -> int:
    """MediaPipe's own: inputs are data, filters (out, h, w, in), bias."""
    if len(op.slots) < 2 or None in op.slots[:2]:  # something else of that name
        return 0
    return op.slots[0].size * math.prod(op.slots[1].shape[:3])


def _dense(op: OpInfo) -> int:
    return op.output_tensors[0].size * op.slots[1].shape[-1]


def _matmul(op: OpInfo) -> int:
    side = -2 if op.options.get("adj_x") else -1
    return op.output_tensors[0].size * op.slots[0].shape[side]


def _svdf(op: OpInfo) -> int:
    """Inputs are data (batch, in), filters over features and over time."""
    return op.slots[0].shape[0] * (op.slots[1].size + op.slots[2].size)


def _recurrent(weights: tuple[int, ...], sequence: bool) -> Callable[[OpInfo], int]:
    """Data of (batch, in), or of a sequence's two axes more, by the weights in those slots."""

    def count(op: OpInfo) -> int:
        rows = math.prod(op.slots[0].shape[: 2 if sequence else 1])
        return rows * sum(_size(op.slot(place)) for place in weights)

    return count


def _lstm(op: OpInfo) -> int:
    if op.options.get("kernel_type"):  # BASIC: data, activation, weights, bias, state
        return op.slots[0].shape[0] * op.slots[2].size
    return _recurrent(_LSTM, sequence=False)(op)


def _size(tensor: TensorInfo | None) -> int:
    return 0 if tensor is None else tensor.size


# Slots of weights: of gates from input and from state, peepholes, projection.
_LSTM = (*range(1, 9), *range(9, 12), 16)
_BOTH_LSTM = (*_LSTM, *range(18, 26), *range(26, 29), 33, *range(40, 48))
_COUNTS = {
    "BATCH_MATMUL": _matmul,
    "BIDIRECTIONAL_SEQUENCE_LSTM": _recurrent(_BOTH_LSTM, sequence=True),
    "BIDIRECTIONAL_SEQUENCE_RNN": _recurrent((1, 2, 5, 6, 10, 11), sequence=True),
    "CONV_2D": _convolution,
    "CONV_3D": _convolution_3d,
    "CONV_3D_TRANSPOSE": _transposed_3d,
    "Convolution2DTransposeBias": _transposed_with_bias,
    "DEPTHWISE_CONV_2D": _depthwise,
    "FULLY_CONNECTED": _dense,
    "LSTM": _lstm,
    "RNN": _recurrent((1, 2), sequence=False),
    "SVDF": _svdf,
    "TRANSPOSE_CONV": _transposed,
    "UNIDIRECTIONAL_SEQUENCE_LSTM": _recurrent(_LSTM, sequence=True),
    "UNIDIRECTIONAL_SEQUENCE_RNN": _recurrent((1, 2), sequence=True),
}

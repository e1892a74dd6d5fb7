"""Rules of targets beyond the dtypes of their kernels: each says why an op cannot run, or None."""

from collections.abc import Callable

import numpy as np

from converters.kernel_dtypes import FLOATS, HYBRID, kernel_of
from converters.model_info import OpInfo, TensorInfo

_EIGHT_BITS = ("int8", "uint8")
# Their second input is not computed with: shapes, axes, paddings, indices.
_INDEX_INPUTS = ("int32", "int64", "bool")
_COMPARISONS = ("EQUAL", "GREATER", "GREATER_EQUAL", "LESS", "LESS_EQUAL", "NOT_EQUAL")
_LOGICAL = ("LOGICAL_AND", "LOGICAL_NOT", "LOGICAL_OR", "SELECT", "SELECT_V2", "CAST")


def _computed(op: OpInfo) -> list[TensorInfo]:
    """What flows in and out, without constants, shapes and indices."""
    inputs = [t for t in op.input_tensors if not t.constant]
    return [t for t in (*inputs, *op.output_tensors) if t.dtype not in _INDEX_INPUTS]


def _weights(op: OpInfo) -> list[TensorInfo]:
    return [t for t in op.input_tensors if t.constant and t.dtype not in _INDEX_INPUTS]


def only_8_bits(op: OpInfo) -> str | None:
    found = {t.dtype for t in _computed(op)} | {kernel_of(op).data}
    found -= {*_EIGHT_BITS, "none"}
    return f"{', '.join(sorted(found))}: only int8 and uint8 run there" if found else None


def only_integers(op: OpInfo) -> str | None:
    found = sorted({t.dtype for t in _computed(op)} & set(FLOATS))
    return f"{', '.join(found)} activations: only integers run there" if found else None


def only_numbers_of_the_gpu(op: OpInfo) -> str | None:
    """What flows is float or of 8 bits; truth values between comparisons and choices."""
    allowed = {"float32", "float16", *_EIGHT_BITS}
    inputs = {t.dtype for t in op.input_tensors if not t.constant}
    outputs = {t.dtype for t in op.output_tensors}
    if op.name in _COMPARISONS:
        outputs -= {"bool"}
    elif op.name in _LOGICAL:
        inputs, outputs = inputs - {"bool"}, outputs - {"bool"}
    elif op.name in ("GATHER", "ONE_HOT"):
        inputs -= {"int32"}
    found = sorted((inputs | outputs) - allowed)
    return f"{', '.join(found)}: only floats and 8 bits run there" if found else None


def no_hybrid(op: OpInfo) -> str | None:
    kernel = kernel_of(op)
    if op.name not in HYBRID or op.name == "EMBEDDING_LOOKUP" or kernel.weights is None:
        return None
    return f"{kernel.weights} weights with float activations (dynamic range)"


def no_half(op: OpInfo) -> str | None:
    halves = [t for t in op.input_tensors if t.dtype == "float16"]
    return "float16 weights" if op.name == "DEQUANTIZE" and halves else None


def static(op: OpInfo) -> str | None:
    """Sizes are planned once: that of a batch as 1, others not at all."""
    found = any(t.open_beyond_batch for t in (*op.input_tensors, *op.output_tensors))
    return "a shape that is not fixed" if found else None


def keeps_its_values(op: OpInfo) -> str | None:
    """A shape computed as the model runs, that is not what the file says."""
    if op.name != "RESHAPE" or op.input_tensors[0].size == op.output_tensors[0].size:
        return None
    return "a shape that is only known as it runs"


def no_16_bits(*names: str) -> Callable[[OpInfo], str | None]:
    def rule(op: OpInfo) -> str | None:
        if op.name not in names and names:
            return None
        return "int16 activations" if any(t.dtype == "int16" for t in _computed(op)) else None

    return rule


def one_scale_dequantized(op: OpInfo) -> str | None:
    if op.name != "DEQUANTIZE":
        return None
    (tensor,) = op.input_tensors
    if tensor.dtype == "int4":
        return "int4 weights"
    # It takes the first of several for all, and says nothing.
    return "weights with a scale per channel" if len(tensor.scales) > 1 else None


def no_4_bit_channels(op: OpInfo) -> str | None:
    narrow = [t for t in _weights(op) if t.dtype == "int4"]
    if op.name != "FULLY_CONNECTED" or not narrow or len(narrow[0].scales) == 1:
        return None
    return "int4 weights with a scale per channel"


def few_dimensions(op: OpInfo) -> str | None:
    most = max((len(t.shape) for t in _computed(op)), default=0)
    return f"{most} dimensions, of at most 4" if most > 4 else None


def one_sample_deep(op: OpInfo) -> str | None:
    for tensor in _computed(op):
        if any(side > 1 for side in tensor.shape[:-3]):
            shape = "×".join(map(str, tensor.shape))
            return f"shape {shape}: only the last three sides may be longer than 1"
    return None


def softmax_of_one_vector(op: OpInfo) -> str | None:
    if op.name != "SOFTMAX":
        return None
    shape = op.input_tensors[0].shape
    long = any(side > 1 for side in shape[:-1]) or shape[-1] > 16_000
    return "softmax over more than one vector of 16,000" if long else None


def no_4_bits(op: OpInfo) -> str | None:
    return "int4 weights" if any(t.dtype == "int4" for t in _weights(op)) else None


def no_mean_over_channels(op: OpInfo) -> str | None:
    if op.name != "MEAN" or len(op.input_tensors[0].shape) < 3:
        return None
    shape, axes = op.input_tensors[0].shape, op.input_tensors[1].values
    if axes is None or 1 in shape[-3:] or len(shape) - 1 not in np.ravel(axes) % len(shape):
        return None
    return "a mean over channels"


def scaled_by_a_power_of_two(op: OpInfo) -> str | None:
    if not op.name.startswith("RESIZE"):
        return None
    sides, sizes = op.input_tensors[0].shape[1:3], op.output_tensors[0].shape[1:3]
    factors = {size / side for side, size in zip(sides, sizes, strict=True)}
    if sides in (sizes, (1, 1)) or (len(factors) == 1 and factors <= {2, 4, 8}):
        return None
    return "resizing that is not by 2, 4 or 8 in both directions"


def padded_like_images(op: OpInfo) -> str | None:
    rank = len(op.input_tensors[0].shape) if op.input_tensors else 4
    padded = op.name in ("PAD", "PADV2", "MIRROR_PAD")
    sliced = op.name in ("SLICE", "STRIDED_SLICE")
    return f"{rank} dimensions, not 3 or 4" if (padded or sliced) and rank not in (3, 4) else None

"""The type of an op for a table of kernels: in what it computes, and what else its kernel asks."""

from converters.kernel_dtypes import HYBRID, OF_SHAPES, data_tensor, kernel_of
from converters.model_info import OpInfo

_NARROW = ("int2", "int4", "uint4")
_STAND_FOR_REALS = ("int8", "uint8", "int16")
# Ops whose kernels ask for the dtype of their result too.
_WITH_RESULT = ("ARG_MAX", "ARG_MIN", "BITCAST", "CAST", "DEQUANTIZE", "QUANTIZE")


def op_type(op: OpInfo) -> str:
    """In what an op computes, in words that tables of kernels have.

    `"int8"`; `"float32×int8"` and `"int8×int4"` with integer weights of another width; `"int8
    plain"` for integers that stand for themselves; `"float32 to int8"` for conversions; `"float32
    by int64"` with indices of 64 bits.
    """
    if op.name in OF_SHAPES and op.input_tensors:
        return f"{op.input_tensors[0].dtype} to {op.output_tensors[0].dtype}"
    kernel = kernel_of(op)
    found = kernel.dtype
    if not kernel.floating and kernel.data in _STAND_FOR_REALS:
        narrow = [t.dtype for t in op.input_tensors if t.constant and t.dtype in _NARROW]
        found += f"×{narrow[0]}" if narrow else ""
        plain = not kernel.quantized and op.name not in ("CAST", "BITCAST")
        found += " plain" if plain else ""
    if op.name in _WITH_RESULT and op.output_tensors:
        found += f" to {op.output_tensors[0].dtype}"
    data = data_tensor(op)
    others = [t.dtype for t in op.input_tensors if t is not data]
    weighted = op.name in HYBRID and op.name != "EMBEDDING_LOOKUP"  # 64 bits are those of a bias
    if "int64" in others and kernel.data != "int64" and not weighted:
        found += " by int64"
    return found

"""Float flatbuffers with smaller weights, made by litert-quantizer."""

import numpy as np

from converters.errors import ConversionError
from converters.formats import Format
from converters.integer.file import FlatFile

# The converter of TensorFlow leaves smaller weights alone too: unpacking them would cost more
# than they save.
FEWEST_ELEMENTS = 1024
BLOCKS = (32, 64, 128, 256)
# Ops with kernels for 4 bits; by blocks only the ones without a window.
_FOUR_BITS = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP", "CONV_2D")
_BLOCKWISE = ("FULLY_CONNECTED", "EMBEDDING_LOOKUP")


def with_small_weights(content: bytes, format: Format, block: int | None = None) -> bytes:
    """The float file with its weights stored as `format` says; activations stay float32.

    What has no kernel for 4 bits has its weights in 8.

    Args:
        content: A float `.tflite`.
        format: One whose activations are float.
        block: Out of `BLOCKS`: so many weights along a Dense kernel's inputs share a scale, in
            `dynamic_int4`. Defaults to `None`: a scale per channel.

    Raises:
        ConversionError: litert-quantizer refuses the file, or a weight is beyond float16.
    """
    from litert_quantizer import quantizer

    job = quantizer.Quantizer(bytearray(content))
    half = format.weights == 16
    names = quantizer.AlgorithmName
    algorithm = names.FLOAT_CASTING if half else names.MIN_MAX_UNIFORM_QUANT
    try:
        for op, config in _configs(format, block).items():
            job.update_quantization_recipe(".*", op, config, algorithm)
        result = job.quantize(enable_progress_report=False, enable_progress_bar=False)
    except Exception as error:  # it raises errors of every kind
        raise ConversionError(
            f"{format.name}: litert-quantizer refuses the model: {error}"
        ) from None
    file = FlatFile(bytes(result.quantized_model))
    if half:
        _check_range(FlatFile(content), file)
    return file.tobytes()


def _check_range(plain: FlatFile, half: FlatFile) -> None:
    """Refuse a file in which a weight became infinite."""
    limit = float(np.finfo("float16").max)
    for index, tensor in enumerate(half.graph.tensors):
        data = half.model.buffers[tensor.buffer].data
        if half.dtype(index) != "float16" or data is None or not len(data):
            continue
        if np.isinf(np.asarray(data, "uint8").view("<f2")).any():
            name = tensor.name.decode()
            values = (
                plain.constant(i)
                for i, t in enumerate(plain.graph.tensors)
                if t.name == tensor.name
            )
            largest = max((np.abs(v).max() for v in values if v is not None), default=np.inf)
            raise ConversionError(
                f"float16: weight {name!r} reaches {largest:g}, float16 ends at {limit:,.0f}: "
                "scale the weights down, or convert to float32 or int8"
            )


def _configs(format: Format, block: int | None) -> dict:
    """`{op: how its weights are stored}`, the general case first."""
    from litert_quantizer.qtyping import TFLOperationName as Op

    found = {Op.ALL_SUPPORTED: _config(format, max(format.weights, 8))}
    if format.weights == 4:
        found |= {Op(op): _config(format, 4) for op in _FOUR_BITS}
    if block and format.dynamic and format.weights == 4:
        found |= {Op(op): _config(format, 4, block) for op in _BLOCKWISE}
    return found


def _config(format: Format, bits: int, block: int | None = None):
    from litert_quantizer import qtyping

    half = bits == 16
    granularity = f"BLOCKWISE_{block}" if block else "TENSORWISE" if half else "CHANNELWISE"
    precision = qtyping.ComputePrecision
    return qtyping.OpQuantizationConfig(
        weight_tensor_config=qtyping.TensorQuantizationConfig(
            num_bits=bits,
            dtype=qtyping.TensorDataType.FLOAT if half else qtyping.TensorDataType.INT,
            granularity=qtyping.QuantGranularity(granularity),
        ),
        compute_precision=precision.INTEGER if format.dynamic else precision.FLOAT,
        explicit_dequantize=not format.dynamic,
        min_weight_elements=0 if half else FEWEST_ELEMENTS,
    )

"""Quantisation-aware training: models that train with the rounding of integer arithmetic."""

from edgekit.quantization.delay_quantization import DelayQuantization
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.freeze_batchnorm import FreezeBatchNorm
from edgekit.quantization.freeze_ranges import FreezeRanges
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.quantize_aware import quantize_aware
from edgekit.quantization.quantized_batchnorm import QuantizedBatchNorm
from edgekit.quantization.quantized_layer import QuantizedLayer
from edgekit.quantization.scheme import QuantScheme
from edgekit.quantization.strip import strip

__all__ = [
    "DelayQuantization",
    "FakeQuantize",
    "FreezeBatchNorm",
    "FreezeRanges",
    "KernelQuantizer",
    "QuantScheme",
    "QuantizedBatchNorm",
    "QuantizedLayer",
    "quantize_aware",
    "strip",
]

"""PReLU in integers."""

import keras

from edgekit.core.batchnorm import full_precision
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.quantize_wrapper import QuantizeWrapper


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedPReLU(QuantizeWrapper):
    """A PReLU with its slopes rounded, which LiteRT computes as one op.

    Args:
        layer: The PReLU.
        scheme: How to quantise. Defaults to that of `"int8"`.
        sites: How often it is called in all. Defaults to `1`.
    """

    def __init__(self, layer, scheme=None, sites=1, **kwargs):
        super().__init__(layer, scheme, sites, **kwargs)
        self.quantizer = KernelQuantizer(name="quantizer")

    def build(self, input_shape):
        super().build(input_shape)
        self.quantizer.build(self.layer.alpha.shape)

    def compute(self, inputs, training):
        slopes = self.quantizer(full_precision(self.layer.alpha))
        with keras.StatelessScope(state_mapping=[(self.layer.alpha, slopes)]):
            return self.layer(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape

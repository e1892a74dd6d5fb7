"""SeparableConv2D in integers: two convolutions with a rounded tensor between them."""

import keras
from keras import ops

from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.quantized_layer import QuantizedLayer, full_precision, scale_channels
from edgekit.quantization.weight_quant import quantize_kernel


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedSeparableConv2D(QuantizedLayer):
    """A SeparableConv2D as LiteRT computes it: DEPTHWISE_CONV_2D, then CONV_2D.

    Args:
        layer: The SeparableConv2D; the others as in `QuantizedLayer`.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.between = FakeQuantize(bits=8, name="between")

    _commutes_with_batchnorm = True

    def build(self, input_shape):
        super().build(input_shape)
        channels = self.layer.pointwise_kernel.shape[2]
        self.between.build((*self.layer.compute_output_shape(input_shape)[:-1], channels))

    def _linear(self, inputs, training, factor=None, shift=None):
        layer, bias = self.layer, self._bias(factor, shift)
        depthwise = quantize_kernel(
            full_precision(layer.depthwise_kernel), (-2, -1), bits=self.bits
        )
        pointwise = scale_channels(full_precision(layer.pointwise_kernel), factor, (-1,))
        pointwise = quantize_kernel(pointwise, (-1,), bias, self.bits)
        outputs = ops.depthwise_conv(
            inputs,
            ops.cast(depthwise, inputs.dtype),
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
        )
        outputs = self.between(outputs, training=training)
        outputs = ops.conv(outputs, ops.cast(pointwise, outputs.dtype), padding="valid")
        return outputs if bias is None else outputs + ops.cast(bias, outputs.dtype)

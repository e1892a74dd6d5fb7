"""SeparableConv2D in integers: two convolutions with a rounded tensor between them."""

import keras
from keras import ops

from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.quantized_layer import QuantizedLayer, scale_channels
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
        layer = self.layer
        outputs = ops.depthwise_conv(
            inputs,
            quantize_kernel(layer.depthwise_kernel.value, (-2, -1), bits=self.bits),
            strides=layer.strides,
            padding=layer.padding,
            dilation_rate=layer.dilation_rate,
        )
        outputs = self.between(outputs, training=training)
        pointwise, bias = layer.pointwise_kernel.value, self._bias(factor, shift)
        pointwise = scale_channels(pointwise, factor, (-1,))
        pointwise = quantize_kernel(pointwise, (-1,), bias, self.bits)
        outputs = ops.conv(outputs, pointwise, padding="valid")
        return outputs if bias is None else outputs + bias

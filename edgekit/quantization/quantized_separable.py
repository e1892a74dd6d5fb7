"""Separable convolutions in integers: two convolutions with a rounded tensor between them."""

import keras
from keras import ops

from edgekit.core.batchnorm import full_precision, scale_channels
from edgekit.core.known_values import where_known
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.quantized_layer import QuantizedLayer


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedSeparable(QuantizedLayer):
    """A SeparableConv1D or 2D as LiteRT computes it: DEPTHWISE_CONV_2D, then CONV_2D.

    Args:
        layer: The separable layer; the others as in `QuantizedLayer`.
    """

    def __init__(self, layer, **kwargs):
        super().__init__(layer, **kwargs)
        self.between = FakeQuantize.of(self.scheme, name="between", sites=self.sites)

    def _make_quantizers(self):
        self.depthwise_quantizer = KernelQuantizer.of(self.scheme, (-2, -1), "depthwise_quantizer")
        self.quantizer = KernelQuantizer.of(self.scheme, (-1,), "quantizer")

    @property
    def _kernel(self):
        return self.layer.pointwise_kernel

    def _build_quantizers(self):
        super()._build_quantizers()
        self.depthwise_quantizer.build(self.layer.depthwise_kernel.shape)
        self.between.build(None)

    def start_scales(self):
        super().start_scales()
        self.depthwise_quantizer.start_from(full_precision(self.layer.depthwise_kernel))

    def _scaled(self, kernel, factor):
        return scale_channels(kernel, factor, (-1,))

    def _linear(self, inputs, training, factor=None, shift=None, input_step=None):
        layer = self.layer
        with where_known(self._kernel):
            bias = self._bias(factor, shift)
            depthwise = self.depthwise_quantizer(full_precision(layer.depthwise_kernel))
            pointwise = self._scaled(full_precision(layer.pointwise_kernel), factor)
            pointwise = self.quantizer(pointwise, bias=bias, factor=factor)
        if input_step is not None:  # of the depthwise convolution, which has no bias
            step = self.between.step()
            bias = self.quantizer.rounded_bias(bias, pointwise, step, self._stored_levels)
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

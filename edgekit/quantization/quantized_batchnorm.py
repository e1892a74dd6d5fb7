"""A BatchNormalization that cannot be folded into the layer before it."""

import keras

from edgekit.core.batchnorm import fold
from edgekit.quantization.expansions import affine
from edgekit.quantization.kernel_quantizer import on_grid
from edgekit.quantization.quantize_wrapper import QuantizeWrapper

_LEVELS = 127


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedBatchNorm(QuantizeWrapper):
    """A BatchNormalization as LiteRT computes it: a depthwise 1×1 convolution.

    A kernel of one weight per channel is on its own grid, so only the output is rounded.

    Args:
        layer: The BatchNormalization, over the last axis.
        activation: An activation layer after it that LiteRT fuses. Defaults to `None`.
        scheme: How to quantise. Defaults to that of `"int8"`.
        sites: How often it is called in all. Defaults to `1`.

    Attributes:
        freeze_statistics: Whether training uses the moving statistics and leaves them.
    """

    parts = ("layer", "activation")
    emulates_kernels = True  # of the shift, which is the convolution's bias

    def __init__(self, layer, activation=None, scheme=None, sites=1, **kwargs):
        super().__init__(layer, scheme, sites, **kwargs)
        self.activation = activation
        self.freeze_statistics = False

    def compute(self, inputs, training, input_step=None):
        layer = self.layer
        if training and layer.trainable and not self.freeze_statistics:
            outputs = layer(inputs, training=True)
        else:
            factor, shift = fold(layer, layer.moving_mean, layer.moving_variance)
            if input_step is not None:
                shift = on_grid(shift, input_step * keras.ops.abs(factor) / _LEVELS)
            inputs = keras.ops.cast(inputs, "float32")
            outputs = keras.ops.cast(affine(inputs, factor, shift), self.compute_dtype)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return input_shape

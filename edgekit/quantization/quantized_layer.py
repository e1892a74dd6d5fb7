"""The wrapper that runs a layer with the kernel its integers will have."""

import keras
from keras import layers as kl
from keras import ops

from edgekit.core.batchnorm import fold, full_precision, scale_channels
from edgekit.core.kernel_layout import kernel_layout, kernel_of
from edgekit.core.known_values import where_known
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.policy import ACTIVATIONS, activation_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper
from edgekit.quantization.quantized_activation import QuantizedActivation


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedLayer(QuantizeWrapper):
    """A weighted layer with the BatchNorm and activation that follow it, as LiteRT computes them.

    The kernel is rounded on each call; the layer inside keeps its float kernel and trains it.
    At inference BatchNorm is folded into kernel and bias before rounding. In training it uses
    the batch's statistics: with one scale per channel, rounding commutes with BatchNorm's
    factor, so rounding the plain kernel is the same; with one scale for all, the layer runs a
    second time with the kernel folded by the batch's statistics.

    Args:
        layer: A convolution or Dense layer, with or without its own activation.
        batchnorm: The BatchNormalization after it, on the last axis. Defaults to `None`.
        activation: The activation layer after that, one that LiteRT fuses. Defaults to `None`.
        scheme: How to quantise. Defaults to that of `"int8"`.
        sites: How often it is called in all. Defaults to `1`.

    Attributes:
        freeze_statistics: Whether training uses BatchNorm's moving statistics and leaves them.

    Source: Jacob et al. 2018, arXiv 1712.05877, section 3.2; Krishnamoorthi 2018,
    arXiv 1806.08342.
    """

    parts = ("layer", "batchnorm", "activation")
    emulates_kernels = True  # of the bias

    def __init__(self, layer, batchnorm=None, activation=None, scheme=None, sites=1, **kwargs):
        super().__init__(layer, scheme, sites, **kwargs)
        self.batchnorm = batchnorm
        self.activation = activation
        self.freeze_statistics = False
        # The layer inside computes only up to its activation; that comes after BatchNorm's
        # place and, where needed, after rounding.
        self._layer_activation = layer.activation
        name = activation_of(activation or layer)
        layer.activation = keras.activations.linear
        self.before_activation = self.own_activation = None
        if name is None or not ACTIVATIONS[name].fused:
            self.before_activation = FakeQuantize.of(
                self.scheme, name="before_activation", sites=sites
            )
            self.own_activation = QuantizedActivation(
                self._layer_activation, self.scheme, sites, name="activation"
            )
            if name is not None:
                self.output_range = ACTIVATIONS[name].fixed_range(self.scheme.activation_bits)
        self._make_quantizers()

    @property
    def plain_activation(self) -> keras.layers.Activation:
        """The layer's own activation, as a layer."""
        return keras.layers.Activation(self._layer_activation)

    def _make_quantizers(self):
        axes = kernel_layout(self.layer).channel_axes
        self.quantizer = KernelQuantizer.of(self.scheme, axes, "quantizer")

    def build(self, input_shape):
        super().build(input_shape)
        shape = self.layer.compute_output_shape(input_shape)
        after = (self.batchnorm, self.before_activation, self.own_activation, self.activation)
        for part in after:
            if part is not None and not part.built:
                part.build(shape)
        if self.own_activation is not None:
            self.left_float = self.own_activation.left_float
        self._build_quantizers()

    def _build_quantizers(self):
        self.quantizer.build(self._kernel.shape)

    @property
    def _kernel(self):
        return kernel_of(self.layer)

    @property
    def _stored_levels(self):
        """The largest integer of a kernel in the file; LiteRT transposes no 4-bit kernels."""
        transposed = isinstance(self.layer, (kl.Conv1DTranspose, kl.Conv2DTranspose))
        return 127 if self.scheme.weight_bits == 8 or transposed else 7

    def start_scales(self):
        kernel = full_precision(self._kernel)
        if self.batchnorm is not None and not self.scheme.per_channel:
            kernel = self._scaled(kernel, self._folded()[0])
        self.quantizer.start_from(kernel)

    def compute(self, inputs, training, input_step=None):
        outputs = self._normalized(inputs, training, input_step)
        if self.before_activation is None:
            outputs = self._layer_activation(outputs)
        else:
            outputs = self.before_activation(outputs, training=training)
            outputs = self.own_activation(outputs, training=training)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def _restore(self, layer):
        super()._restore(layer)
        layer.activation = self._layer_activation

    def get_config(self):
        config = super().get_config()
        config["layer"]["config"]["activation"] = keras.activations.serialize(
            self._layer_activation
        )
        return config

    def _normalized(self, inputs, training, input_step=None):
        if self.batchnorm is None:
            return self._linear(inputs, training, input_step=input_step)
        if not training or not self.batchnorm.trainable or self.freeze_statistics:
            with where_known(self._kernel):
                factor, shift = self._folded()
            return self._linear(inputs, training, factor, shift, input_step)
        if self.scheme.per_channel:
            return self.batchnorm(self._linear(inputs, training), training=True)
        plain = self.layer(inputs)
        self.batchnorm(plain, training=True)  # for its moving statistics
        mean, variance = ops.moments(plain, axes=list(range(len(plain.shape) - 1)))
        return self._linear(inputs, training, *fold(self.batchnorm, mean, variance))

    def _folded(self):
        return fold(self.batchnorm, self.batchnorm.moving_mean, self.batchnorm.moving_variance)

    def _linear(self, inputs, training, factor=None, shift=None, input_step=None):
        """The layer with its rounded kernel, scaled and shifted per output channel if asked."""
        with where_known(self._kernel):
            bias = self._bias(factor, shift)
            kernel = self._scaled(full_precision(self._kernel), factor)
            kernel = self.quantizer(kernel, bias=bias, factor=factor)
            mapping = [(self._kernel, kernel)]
        bias = self.quantizer.rounded_bias(bias, kernel, input_step, self._stored_levels)
        if self.layer.use_bias:
            mapping.append((self.layer.bias, bias))
        with keras.StatelessScope(state_mapping=mapping):
            outputs = self.layer(inputs)
        if bias is None or self.layer.use_bias:
            return outputs
        return outputs + ops.cast(bias, outputs.dtype)

    def _scaled(self, kernel, factor):
        return scale_channels(kernel, factor, kernel_layout(self.layer).channel_axes)

    def _bias(self, factor, shift):
        """The layer's bias, scaled and shifted if asked; None when there is nothing to add."""
        if not self.layer.use_bias:
            return shift
        bias = full_precision(self.layer.bias)
        return bias if factor is None else bias * factor + shift

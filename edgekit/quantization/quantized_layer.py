"""The wrapper that runs a layer with the kernel its integers will have."""

import keras
import numpy as np
from keras import ops

from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.kernel_layout import kernel_layout
from edgekit.quantization.policy import ACTIVATIONS, activation_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper
from edgekit.quantization.weight_quant import quantize_kernel


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedLayer(QuantizeWrapper):
    """A weighted layer with the BatchNorm and activation that follow it, as LiteRT computes them.

    The kernel is rounded on each call; the layer inside keeps its float kernel and trains it.
    At inference BatchNorm is folded into kernel and bias before rounding. In training it uses
    the batch's statistics: with one scale per channel, rounding commutes with BatchNorm's
    factor, so rounding the plain kernel is the same; with one scale for all, the layer runs a
    second time with the kernel folded by the batch's statistics.

    Args:
        layer: Conv2D, DepthwiseConv2D or Dense, with or without its own activation.
        batchnorm: The BatchNormalization after it, on the last axis. Defaults to `None`.
        activation: The activation layer after that. Defaults to `None`.
        bits: Width of the kernel's integers. Defaults to `8`.

    Source: Jacob et al. 2018, arXiv 1712.05877, section 3.2; Krishnamoorthi 2018,
    arXiv 1806.08342.
    """

    parts = ("layer", "batchnorm", "activation")

    def __init__(self, layer, batchnorm=None, activation=None, bits: int = 8, **kwargs):
        kwargs.setdefault("name", f"quant_{layer.name}")
        super().__init__(layer, **kwargs)
        self.batchnorm = batchnorm
        self.activation = activation
        self.bits = bits
        rule = ACTIVATIONS[activation_of(activation or layer)]
        self.output_range = rule.fixed_range
        # An activation that LiteRT computes as an op of its own reads an integer tensor.
        self.before_activation = (
            None if rule.fused else FakeQuantize(bits=8, name="before_activation")
        )
        # The layer inside computes only up to its activation; that comes after BatchNorm's
        # place and, where needed, after rounding.
        self._layer_activation = layer.activation
        layer.activation = keras.activations.linear

    def build(self, input_shape):
        super().build(input_shape)
        shape = self.layer.compute_output_shape(input_shape)
        for part in (self.batchnorm, self.before_activation, self.activation):
            if part is not None and not part.built:
                part.build(shape)

    def call(self, inputs, training=None):
        outputs = self._normalized(inputs, training)
        if self.before_activation is not None:
            outputs = self.before_activation(outputs, training=training)
        outputs = self._layer_activation(outputs)
        return outputs if self.activation is None else self.activation(outputs)

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

    def get_config(self):
        config = {**super().get_config(), "bits": self.bits}
        config["layer"]["config"]["activation"] = keras.activations.serialize(
            self._layer_activation
        )
        for name in self.parts[1:]:
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        for name in cls.parts:
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**config)

    def _normalized(self, inputs, training):
        if self.batchnorm is None:
            return self._linear(inputs, training)
        if not (training and self.batchnorm.trainable):
            norm = self.batchnorm
            return self._linear(
                inputs, training, *_fold(norm, norm.moving_mean, norm.moving_variance)
            )
        if self._commutes_with_batchnorm:
            return self.batchnorm(self._linear(inputs, training), training=True)
        plain = self.layer(inputs)
        self.batchnorm(plain, training=True)  # for its moving statistics
        mean, variance = ops.moments(plain, axes=list(range(len(plain.shape) - 1)))
        return self._linear(inputs, training, *_fold(self.batchnorm, mean, variance))

    @property
    def _commutes_with_batchnorm(self):
        return kernel_layout(self.layer).per_channel

    def _linear(self, inputs, training, factor=None, shift=None):
        """The layer with its rounded kernel, scaled and shifted per output channel if asked."""
        layout = kernel_layout(self.layer)
        variable, bias = getattr(self.layer, layout.attribute), self._bias(factor, shift)
        kernel = scale_channels(full_precision(variable), factor, layout.channel_axes)
        mapping = [(variable, quantize_kernel(kernel, layout.scale_axes, bias, self.bits))]
        if self.layer.use_bias:
            mapping.append((self.layer.bias, bias))
        with keras.StatelessScope(state_mapping=mapping):
            outputs = self.layer(inputs)
        if bias is None or self.layer.use_bias:
            return outputs
        return outputs + ops.cast(bias, outputs.dtype)

    def _bias(self, factor, shift):
        """The layer's bias, scaled and shifted if asked; None when there is nothing to add."""
        bias = shift
        if self.layer.use_bias:
            bias = full_precision(self.layer.bias)
            bias = bias if factor is None else bias * factor + shift
        return None if bias is None else _never_all_equal(bias)


def full_precision(variable: keras.Variable):
    """The variable's value in float32, also where the layer computes in half precision."""
    return ops.cast(variable.value, "float32")


def scale_channels(kernel, factor, channel_axes: tuple[int, ...]):
    """`kernel` with each output channel multiplied by its `factor`; None leaves it alone."""
    if factor is None:
        return kernel
    return kernel * ops.reshape(factor, [kernel.shape[axis] for axis in channel_axes])


def _never_all_equal(bias):
    """The bias with its first entry larger by a millionth part.

    LiteRT's converter stores a bias of equal entries in the scale of the first channel alone,
    and every other channel comes out wrong.
    """
    factors = np.ones(bias.shape, "float32")
    factors[0] += 2.0**-20
    return bias * ops.cast(factors, bias.dtype)


def _fold(batchnorm, mean, variance):
    """BatchNorm as `(factor, shift)`: `y = factor * x + shift` per channel."""
    mean, variance = ops.cast(mean, "float32"), ops.cast(variance, "float32")
    factor = ops.rsqrt(variance + batchnorm.epsilon)
    if batchnorm.scale:
        factor = factor * full_precision(batchnorm.gamma)
    shift = -mean * factor
    if batchnorm.center:
        shift = shift + full_precision(batchnorm.beta)
    return factor, shift

"""The bias of an operation with a kernel, as LiteRT stores it."""

import keras
from keras import ops

from edgekit.quantization.input_grids import input_rounding
from edgekit.quantization.kernel_quantizer import on_grid


@keras.saving.register_keras_serializable(package="edgekit")
class BiasRounding(keras.layers.Layer):
    """Gives a bias as integers in units of the input's step times the kernel's give it back.

    At inference, as `QuantizedLayer` does; where the input's step is unknown the bias stays.

    Example:
        >>> bias = BiasRounding(channel_axes=(-1,))([bias, kernel, inputs])

    Args:
        channel_axes: The kernel's axes that count output channels. Defaults to `None`: it has
            one scale.
        levels: The largest integer of the kernel in the file. Defaults to `127`.

    Call arguments:
        inputs: The bias, with the channels last; the rounded kernel; what it is multiplied with.
        training: Whether this is a training call.

    Attributes:
        emulates_kernels: Whether it rounds; the converter, which does so itself, turns it off.
    """

    def __init__(self, channel_axes: tuple[int, ...] | None = None, levels: int = 127, **kwargs):
        super().__init__(**kwargs)
        self.channel_axes = None if channel_axes is None else tuple(channel_axes)
        self.levels = levels
        self.emulates_kernels = True
        self.supports_masking = True

    def call(self, inputs, training=None):
        bias, kernel, _ = inputs
        rounding = None if training or not self.emulates_kernels else input_rounding(self, place=2)
        if rounding is None:
            return bias
        channels = {axis % len(kernel.shape) for axis in self.channel_axes or ()}
        others = [axis for axis in range(len(kernel.shape)) if axis not in channels]
        steps = ops.max(ops.abs(ops.cast(kernel, "float32")), axis=others) / self.levels
        steps = rounding.step() * ops.reshape(steps, (-1,))
        return ops.cast(on_grid(ops.cast(bias, "float32"), steps), bias.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape[0]

    def get_config(self):
        return {**super().get_config(), "channel_axes": self.channel_axes, "levels": self.levels}

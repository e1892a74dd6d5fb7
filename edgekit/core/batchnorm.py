"""BatchNormalization as a factor and a shift per channel, and kernels that take the factor in."""

import keras
from keras import ops


def full_precision(variable: keras.Variable):
    """The variable's value in float32, also where the layer computes in half precision."""
    return ops.cast(variable.value, "float32")


def scale_channels(kernel, factor, channel_axes: tuple[int, ...]):
    """`kernel` with each output channel multiplied by its `factor`; None leaves it alone."""
    if factor is None:
        return kernel
    rank = len(kernel.shape)
    channels = {axis % rank for axis in channel_axes}
    shape = [kernel.shape[axis] if axis in channels else 1 for axis in range(rank)]
    return kernel * ops.reshape(factor, shape)


def fold(batchnorm, mean, variance):
    """BatchNorm as `(factor, shift)`: `y = factor * x + shift` per channel."""
    mean, variance = ops.cast(mean, "float32"), ops.cast(variance, "float32")
    factor = ops.rsqrt(variance + batchnorm.epsilon)
    if batchnorm.scale:
        factor = factor * full_precision(batchnorm.gamma)
    shift = -mean * factor
    if batchnorm.center:
        shift = shift + full_precision(batchnorm.beta)
    return factor, shift

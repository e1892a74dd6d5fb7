"""Rounding a kernel to the integer grid LiteRT stores, with straight-through gradients."""

import math

import keras
from keras import ops

from edgekit.core.traced_once import traced_once
from edgekit.quantization.scheme import QuantScheme

# A scale that is too small makes trouble on the device: the bias, an int32 in units of it,
# overflows, or the kernel's multiplier leaves the range XNNPACK takes. So a range is kept above
# these shares of the bias and of the tensor's largest weight. Both are far below what 8 bits
# of output can show; they matter for channels that were pruned to zero.
_SHARE_OF_BIAS = 2.0**-14
_SHARE_OF_LARGEST = 2.0**-16
# Weights smaller than that are zero: steps of what processors flush to zero are none.
_SMALLEST_RANGE = 2.0**-100
_TERNARY_THRESHOLD = 0.7


@keras.saving.register_keras_serializable(package="edgekit")
class KernelQuantizer(keras.layers.Layer):
    """Gives a kernel as its symmetric, narrow-range integers would give it back.

    Example:
        >>> quantizer = KernelQuantizer(channel_axes=(-1,))
        >>> rounded = quantizer(conv.kernel.value)

    Args:
        bits: `8`, `4`, `2`, `"ternary"` or `"binary"`. Defaults to `8`: −127 to 127.
        channel_axes: The axes that count the output channels, each channel with a scale of its
            own. Defaults to `None`: one scale.
        learned: Whether scales are learned rather than taken from the largest weight; call
            `start_from` with the kernel once it has its values. Defaults to `False`.

    Call arguments:
        inputs: The kernel.
        bias: What is added per output channel, `(channels,)`: a scale is kept large enough to
            count it in int32. Defaults to `None`.
        factor: What each output channel has been multiplied with since the scales were
            learned, `(channels,)`. Defaults to `None`.
        training: Whether this is a training call.

    Attributes:
        delayed: Whether training rounds nothing yet.

    Source: LiteRT 8-bit quantization specification; Esser et al. 2020 (LSQ), arXiv
    1902.08153; Rastegari et al. 2016 (XNOR-Net), arXiv 1603.05279; Li et al. 2016 (TWN),
    arXiv 1605.04711.
    """

    rounds = "weights"  # for the converter, which asks no more of a layer than this

    def __init__(
        self,
        bits: int | str = 8,
        channel_axes: tuple[int, ...] | None = None,
        learned: bool = False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.bits = bits
        self.channel_axes = None if channel_axes is None else tuple(channel_axes)
        self.learned = learned
        self.delayed = False

    @classmethod
    def of(
        cls,
        scheme: QuantScheme,
        channel_axes: tuple[int, ...] | None = None,
        name: str | None = None,
        kernel_shape: tuple[int | None, ...] | None = None,
        learned: bool | None = None,
    ) -> "KernelQuantizer":
        """The rounding of kernels that a scheme asks for.

        Args:
            scheme: How to quantise.
            channel_axes: The axes that count the output channels, for a kernel that may have a
                scale for each. Defaults to `None`: one scale.
            name: Defaults to one that Keras finds.
            kernel_shape: Where it is known: a scale of a single weight is that weight's, there
                is nothing to learn. Defaults to `None`.
            learned: Whether scales are learned. Defaults to `None`: if the scheme's estimator is
                `"lsq"`.
        """
        axes = channel_axes if scheme.per_channel else None
        if learned is None:
            learned = scheme.estimator == "lsq"
        if learned and axes is not None and kernel_shape is not None:
            rank = len(kernel_shape)
            channels = {axis % rank for axis in axes}
            learned = any(kernel_shape[a] != 1 for a in range(rank) if a not in channels)
        return cls(scheme.weight_bits, axes, learned=learned, name=name)

    def build(self, input_shape):
        rank = len(input_shape)
        channels = {axis % rank for axis in self.channel_axes or ()}
        self._others = [axis for axis in range(rank) if axis not in channels]
        self._scale_shape = [input_shape[a] if a in channels else 1 for a in range(rank)]
        self._place = None
        if channels:
            first = min(channels)  # its size is left open: the same for kernels of all sizes
            self._place = tuple(-1 if a == first else n for a, n in enumerate(self._scale_shape))
        if self.learned:
            # Learned as the logarithm of a change: an optimizer's step is then a share of the
            # scale, and weight decay pulls to where it started.
            self.start = self._add_scale("start", "ones", trainable=False)
            self.change = self._add_scale("change", "zeros", trainable=True)

    def start_from(self, kernel) -> None:
        """Set learned scales to where LSQ starts for this kernel."""
        if self.learned:
            size = ops.mean(ops.abs(ops.cast(kernel, "float32")), self._others, keepdims=True)
            largest = ops.max(ops.abs(ops.cast(kernel, "float32")), self._others, keepdims=True)
            start = ops.minimum(2 * size / math.sqrt(self._levels), largest / self._levels)
            self.start.assign(ops.maximum(start, 1e-8))

    def call(self, inputs, bias=None, factor=None, training=None):
        if training and self.delayed:
            return inputs
        if self.bits == "binary":
            return _pass_gradient(inputs, self._binary(inputs))
        if self.bits == "ternary":
            return _pass_gradient(inputs, self._ternary(inputs))
        if not self.learned:
            return self._with_largest_scale(inputs, bias, training)
        return self._with_learned_scale(inputs, bias, factor)

    def rounded_bias(self, bias, kernel, input_step, levels: int):
        """The bias as LiteRT stores it: integers in units of the input's step times the kernel's.

        Args:
            bias: What is added per output channel, `(channels,)`, or None.
            kernel: The rounded kernel.
            input_step: The step of the input; None where it is not known, which leaves the bias.
            levels: The largest integer of a kernel in the file.
        """
        if bias is None or input_step is None:
            return bias
        steps = ops.max(ops.abs(ops.cast(kernel, bias.dtype)), axis=self._others) / levels
        return on_grid(bias, input_step * ops.reshape(steps, (-1,)))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "bits": self.bits,
            "channel_axes": self.channel_axes,
            "learned": self.learned,
        }

    def _add_scale(self, name, initializer, trainable):
        return self.add_weight(
            name=name,
            shape=self._scale_shape,
            initializer=initializer,
            trainable=trainable,
            autocast=False,
        )

    @property
    def _levels(self):
        return 2 ** (self.bits - 1) - 1

    def _with_largest_scale(self, kernel, bias, training):
        tensors = [kernel] if bias is None else [kernel, bias]
        settings = {"others": tuple(self._others), "levels": self._levels, "place": self._place}
        tensors = [ops.stop_gradient(tensor) for tensor in tensors]
        if not training:  # a converter wants the operations themselves
            return kernel + _change_by_rounding(*tensors, **settings)
        change = traced_once(_change_by_rounding, *tensors, **settings)
        if hasattr(change, "set_shape"):
            change.set_shape(kernel.shape)
        return kernel + ops.stop_gradient(change)

    def _with_learned_scale(self, kernel, bias, factor):
        per_scale = math.prod(kernel.shape) / math.prod(self._scale_shape)
        gradient_scale = 1 / math.sqrt(per_scale * self._levels)
        change = self.change.value * gradient_scale
        change = change + ops.stop_gradient(self.change.value - change)
        scale = self.start.value * ops.exp(change)
        if factor is not None and self.channel_axes is not None:
            scale = scale * ops.abs(self._per_channel(factor))
        largest = ops.max(ops.abs(kernel), self._others, keepdims=True)
        floor = _floors(largest, bias, self._place)
        scale = ops.maximum(scale, ops.stop_gradient(floor / self._levels))
        places = ops.clip(kernel / scale, -self._levels, self._levels)
        places = places + ops.stop_gradient(ops.round(places) - places)
        return places * scale

    def _per_channel(self, values):
        return ops.reshape(values, self._scale_shape)

    def _binary(self, kernel):
        size = ops.mean(ops.abs(kernel), axis=self._others, keepdims=True)
        return ops.where(kernel >= 0, size, -size)

    def _ternary(self, kernel):
        size = ops.abs(kernel)
        threshold = _TERNARY_THRESHOLD * ops.mean(size, axis=self._others, keepdims=True)
        kept = ops.cast(size > threshold, kernel.dtype)
        total = ops.sum(size * kept, axis=self._others, keepdims=True)
        count = ops.sum(kept, axis=self._others, keepdims=True)
        return ops.sign(kernel) * kept * total / ops.maximum(count, 1.0)


def on_grid(values, steps):
    """`values` as whole multiples of `steps`, with gradients unchanged; a step of 0 leaves them."""
    return _pass_gradient(values, ops.where(steps > 0, ops.round(values / steps) * steps, values))


def _change_by_rounding(kernel, bias=None, *, others, levels, place):
    """What rounding adds to a kernel whose scales come from its largest weights."""
    limits = ops.max(ops.abs(kernel), axis=others, keepdims=True)
    scale = ops.maximum(limits, _floors(limits, bias, place)) / levels
    return ops.round(kernel / scale) * scale - kernel


def _floors(limits, bias, place):
    """Ranges below which there is trouble.

    Args:
        limits: Largest magnitudes of the kernel.
        bias: What is added per output channel, or None.
        place: The shape that puts the bias beside `limits`; None where these are one number.
    """
    largest = ops.max(limits)
    floors = ops.where(largest > _SMALLEST_RANGE, largest, 1.0) * _SHARE_OF_LARGEST
    if bias is None:
        return floors
    size = ops.cast(ops.abs(bias), limits.dtype)
    size = ops.max(size) if place is None else ops.reshape(size, place)
    return ops.maximum(floors, size * _SHARE_OF_BIAS)


def _pass_gradient(inputs, outputs):
    """`outputs`, with gradients passing through to `inputs` unchanged."""
    return inputs + ops.stop_gradient(outputs - inputs)

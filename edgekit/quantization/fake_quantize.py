"""Rounding activations to the integer grid of their range."""

import math

import keras
from keras import ops

# An activation that is constant still needs a step to be counted in.
_SMALLEST_RANGE = 1e-5


@keras.saving.register_keras_serializable(package="edgekit")
class FakeQuantize(keras.layers.Layer):
    """Rounds its input as an 8-bit integer tensor would, over a range followed from the data.

    In training the range starts as that of the first batch, then follows the batches as a
    moving average. At inference it is fixed; before any training batch was seen, each input
    is rounded over its own range. Zero is always on the grid.

    Example:
        >>> y = FakeQuantize()(x)
        >>> p = FakeQuantize(fixed_range=(0.0, 255 / 256))(softmax)

    Args:
        bits: Width of the integers. Defaults to `8`.
        fixed_range: `(min, max)` where LiteRT prescribes the grid, as for softmax. Defaults to
            `None`: followed from the data.
        momentum: Share of the old range in each update, 0 to below 1. Defaults to `0.99`.

    Call arguments:
        inputs: Tensor of any shape.
        observe: Whether training calls follow the range. Defaults to `True`.
        training: Whether this is a training call.

    Source: Jacob et al. 2018, arXiv 1712.05877, section 3.1.
    """

    def __init__(
        self,
        bits: int = 8,
        fixed_range: tuple[float, float] | None = None,
        momentum: float = 0.99,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.bits = bits
        self.fixed_range = tuple(fixed_range) if fixed_range else None
        self.momentum = momentum

    @property
    def calibrated(self) -> bool:
        """Whether the range comes from finite data or is prescribed: what a converter needs."""
        if self.fixed_range is not None:
            return True
        low, high = (float(ops.convert_to_numpy(v)) for v in (self.range_min, self.range_max))
        return bool(ops.convert_to_numpy(self.seen_data)) and math.isfinite(high - low)

    def build(self, input_shape):
        if self.fixed_range:
            return

        def state(name):
            return self.add_weight(
                name=name, shape=(), initializer="zeros", trainable=False, autocast=False
            )

        self.range_min = state("range_min")
        self.range_max = state("range_max")
        self.seen_data = state("seen_data")

    def call(self, inputs, observe=True, training=None):
        if self.fixed_range:
            return self._round(inputs, *self.fixed_range)
        if training and observe:
            self._follow(inputs)
        low, high = self.range_min.value, self.range_max.value
        if not (training and observe) and not self._surely_calibrated():
            unseen = ops.equal(self.seen_data, 0)
            input_low, input_high = _range_of(inputs)
            low = ops.where(unseen, input_low, low)
            high = ops.where(unseen, input_high, high)
        return self._round(inputs, low, high)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "bits": self.bits,
            "fixed_range": self.fixed_range,
            "momentum": self.momentum,
        }

    def _follow(self, inputs):
        low, high = _range_of(inputs)
        keep = self.momentum * self.seen_data  # nothing of the zeros it starts from
        self.range_min.assign(keep * self.range_min + (1 - keep) * low)
        self.range_max.assign(keep * self.range_max + (1 - keep) * high)
        self.seen_data.assign(1.0)

    def _round(self, inputs, low, high):
        return keras.quantizers.fake_quant_with_min_max_vars(inputs, low, high, num_bits=self.bits)

    def _surely_calibrated(self):
        """True when the range is known now, while tracing: then the graph needs no choice."""
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        with tf.init_scope():
            return tf.executing_eagerly() and self.built and self.calibrated


def _range_of(inputs):
    values = ops.cast(ops.stop_gradient(inputs), "float32")
    low = ops.minimum(ops.min(values), 0.0)
    high = ops.maximum(ops.max(values), 0.0)
    return low, ops.maximum(high, low + _SMALLEST_RANGE)

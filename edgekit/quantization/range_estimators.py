"""What a batch says about the range of a tensor."""

import keras
from keras import ops

# An activation that is constant still needs a step to be counted in.
_SMALLEST_RANGE = 1e-5
# A range is followed on this many samples of a batch, and a percentile on so many values: more
# changes it little and costs time in every step.
_SAMPLES = 16
_SORTED_VALUES = 2**15


def extremes(inputs: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """`(smallest, largest)` of all values, in float32; a range that holds zero."""
    values = ops.cast(ops.stop_gradient(inputs), "float32")
    return _holding_zero(ops.min(values), ops.max(values))


def batch_extremes(inputs: keras.KerasTensor) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """As `extremes`, of every n-th sample of a large batch."""
    return extremes(_some_samples(inputs))


def batch_percentiles(
    inputs: keras.KerasTensor, percentile: float
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The range that holds `percentile` percent of the values, half of the rest on each side.

    Args:
        inputs: Tensor of any shape.
        percentile: 50 to 100.
    """
    values = ops.reshape(ops.cast(ops.stop_gradient(_some_samples(inputs)), "float32"), (-1,))
    values = values[:: ops.maximum(ops.size(values) // _SORTED_VALUES, 1)]
    values = ops.sort(values)
    last = ops.cast(ops.size(values) - 1, "float32")
    outside = (1 - percentile / 100) / 2
    low = ops.take(values, ops.cast(ops.floor(last * outside), "int32"))
    high = ops.take(values, ops.cast(ops.ceil(last * (1 - outside)), "int32"))
    return _holding_zero(low, high)


def _some_samples(inputs):
    """Every n-th sample. Taken by index: a slice with steps costs more than all the samples."""
    if len(inputs.shape) < 2:
        return inputs
    count = ops.shape(inputs)[0]
    if isinstance(count, int) and count <= _SAMPLES:
        return inputs
    step = ops.maximum((count + _SAMPLES - 1) // _SAMPLES, 1)
    return ops.take(inputs, ops.arange(0, count, step, dtype="int32"), axis=0)


def _holding_zero(low, high):
    low = ops.minimum(low, 0.0)
    return low, ops.maximum(ops.maximum(high, 0.0), low + _SMALLEST_RANGE)

"""What batches say about the range of a tensor."""

import keras
import numpy as np
from keras import ops

# An activation that is constant still needs a step to be counted in.
_SMALLEST_RANGE = 1e-5
# A percentile is taken of so many values: more change it little and cost time in every step.
_SORTED_VALUES = 2**15
# Batches of the first window; each later one is as long as all before it, but no longer than that.
_FIRST_WINDOW, _LONGEST_WINDOW = 16.0, 1024.0
# What is older than a window of so many batches is forgotten in any case: calibration after
# training sees less data.
_SURELY_ENOUGH = 256.0

# Numbers that `follow_recent` keeps: four of ranges, mean size before, sum of sizes, count, length.
STATE_OF_RECENT = 8


def extremes(
    inputs: keras.KerasTensor, ceiling: float | None = None
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """`(smallest, largest)` of all values, in float32; a range that holds zero.

    All samples count: taking every fourth would cost as much as it saves.

    Args:
        inputs: Tensor of any shape.
        ceiling: If the values are what a ReLU makes of the inputs, its largest value: then the
            smallest is known. Defaults to `None`: they are the inputs.
    """
    inputs = ops.stop_gradient(inputs)
    largest = ops.maximum(ops.cast(ops.max(inputs), "float32"), 0.0)
    if ceiling is not None:
        largest = ops.minimum(largest, ceiling)
        return ops.zeros_like(largest), ops.maximum(largest, _SMALLEST_RANGE)
    low = ops.minimum(ops.cast(ops.min(inputs), "float32"), 0.0)
    return low, ops.maximum(largest, low + _SMALLEST_RANGE)


def batch_percentiles(
    inputs: keras.KerasTensor, percentile: float
) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """The range that holds `percentile` percent of the values, half of the rest on each side.

    Args:
        inputs: Tensor of any shape.
        percentile: 50 to 100.

    Returns:
        Its ends; infinite where a value is.
    """
    values = ops.reshape(ops.cast(ops.stop_gradient(inputs), "float32"), (-1,))
    values = values[:: ops.maximum(ops.size(values) // _SORTED_VALUES, 1)]
    values = ops.sort(values)
    last = ops.cast(ops.size(values) - 1, "float32")
    outside = (1 - percentile / 100) / 2
    low = ops.take(values, ops.cast(ops.floor(last * outside), "int32"))
    high = ops.take(values, ops.cast(ops.ceil(last * (1 - outside)), "int32"))
    low = ops.minimum(low, 0.0)
    high = ops.maximum(ops.maximum(high, 0.0), low + _SMALLEST_RANGE)
    return low, ops.where(ops.all(ops.isfinite(values)), high, np.inf)


def follow_recent(state, low, high):
    """The state of a range that covers recent batches, once a batch more is seen.

    Batches are counted in windows: 16, 16, 32, 64, … up to 1,024. The range is the widest of the
    window that runs and of what is held from before it. When a window ends, what is older than it
    is forgotten if it was long (256 batches and more), or if the tensor has become smaller: not
    one of its batches came up to the geometric mean of those before, which chance does not do.
    Until then the range is that of all data, as calibration would have it. A batch that is not
    finite does not count.

    Args:
        state: `STATE_OF_RECENT` numbers; zeros before the first batch.
        low: Lower end of the batch's range, at most zero.
        high: Upper end of it, above `low`.
    """
    size = ops.log(high - low)
    older, current = state[:2], ops.maximum(state[2:4], ops.stack([-low, high]))
    numbers = state[4:] + ops.stack([0.0, size, 1.0, 0.0])
    going_on = ops.concatenate([older, current, numbers])
    counts = ops.isfinite(size)
    ends = numbers[2] >= ops.maximum(numbers[3], _FIRST_WINDOW)
    return ops.cond(
        ops.logical_and(counts, ops.logical_not(ends)),
        lambda: going_on,  # nearly always: what is left costs each step nothing
        lambda: ops.where(counts, _next_window(older, current, numbers), state),
    )


def _next_window(older, current, numbers):
    """The state as a window ends."""
    mean_before, length = numbers[0], numbers[3]
    mean = numbers[1] / numbers[2]
    smaller = ops.logical_or(length == 0.0, ops.log(current[0] + current[1]) < mean_before)
    forget = ops.logical_or(smaller, length >= _SURELY_ENOUGH)
    held = ops.where(forget, current, ops.maximum(older, current))
    mean = ops.where(forget, mean, (mean_before + mean) / 2)
    next_length = ops.clip(length * 2, _FIRST_WINDOW, _LONGEST_WINDOW)
    return ops.concatenate([held, ops.stack([0.0, 0.0, mean, 0.0, 0.0, next_length])])


def recent_range(state):
    """`(low, high)` of a state that `follow_recent` keeps, a tensor or in NumPy."""
    maximum = np.maximum if isinstance(state, np.ndarray) else ops.maximum
    ends = maximum(state[:2], state[2:4])
    return -ends[0], ends[1]


def next_recent(state, low, high, ceiling: float | None = None):
    """`(state, low, high)`: see `follow_recent`, and the range that follows from it.

    Args:
        state: See `follow_recent`.
        low: See `follow_recent`.
        high: See `follow_recent`.
        ceiling: If the values are what a ReLU gives, its largest: the range is none beyond 0 and
            it, wherever the state was loaded from. Defaults to `None`: they are not.
    """
    if ceiling is not None:
        state = ops.minimum(state, np.array([0, ceiling, 0, ceiling, *[np.inf] * 4], "float32"))
    state = follow_recent(state, low, high)
    return state, *recent_range(state)


def next_recent_of_batch(state, inputs, ceiling: float | None = None):
    """`next_recent`, once a batch of inputs is seen; `ceiling` as `extremes` takes it."""
    return next_recent(state, *extremes(inputs, ceiling), ceiling)


def recent_range_or(state, low, high):
    """The range of a state that `follow_recent` keeps; `(low, high)` where it has seen none."""
    seen = seen_in_recent(state) > 0
    known_low, known_high = recent_range(state)
    return ops.where(seen, known_low, low), ops.where(seen, known_high, high)


def seen_in_recent(state):
    """How many batches the state's windows count; 0 where it has seen none."""
    return state[..., 6] + state[..., 7]


def on_several_replicas() -> bool:
    """Whether one of several replicas of a distributed model runs."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return context is not None and context.num_replicas_in_sync > 1


def of_all_replicas(low, high):
    """The range of the whole batch, where replicas of a distributed model see a part each."""
    if not on_several_replicas():
        return low, high
    ends = _largest_of_replicas(ops.stack([-low, high]))
    return -ends[0], ends[1]


def recent_of_all_replicas(state):
    """The state of `follow_recent` that covers what each replica has seen."""
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    sizes = context.all_reduce(tf.distribute.ReduceOp.MEAN, state[4:])
    return ops.concatenate([_largest_of_replicas(state[:4]), sizes])


def _largest_of_replicas(values):
    import tensorflow as tf

    context = tf.distribute.get_replica_context()
    return tf.reduce_max(context.all_gather(values[None], axis=0), axis=0)

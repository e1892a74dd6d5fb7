"""Rounding activations to the integer grid of their range."""

from types import SimpleNamespace

import keras
import numpy as np
from keras import ops

from edgekit.core.known_values import known_numbers, where_known
from edgekit.core.traced_once import traced_once
from edgekit.core.unrounded import keep_unrounded
from edgekit.quantization.call_sites import running_site
from edgekit.quantization.interpolation import resized
from edgekit.quantization.kernel_arithmetic import arithmetic_of, step_between
from edgekit.quantization.masks import reach
from edgekit.quantization.range_estimators import (
    STATE_OF_RECENT,
    batch_percentiles,
    extremes,
    next_recent,
    next_recent_of_batch,
    of_all_replicas,
    on_several_replicas,
    recent_of_all_replicas,
    recent_range,
    recent_range_or,
    seen_in_recent,
)
from edgekit.quantization.rectified import Relu, relu_of
from edgekit.quantization.scheme import QuantScheme

_MOMENTUM = 0.99
# Batches whose extremes give a learned step its start.
_START = 256
# Estimators whose range always holds the batch that is rounded.
_HOLDING_ALL = ("recent", "minmax")
# How fast the count of what is clipped forgets.
_COUNT_MOMENTUM = 0.98

# What LiteRT computes as MEAN; and what picks values, which are on one grid with what it gives.
_GIVEN_OTHER_RANGES = (
    *("GlobalAveragePooling1D", "GlobalAveragePooling2D", "Mean"),
    *("Concatenate", "Maximum", "Minimum", "Stack", "Where"),
)

# At inference a range is longer by this share of its upper end. One that was found from values
# on a grid has steps that are a simple fraction of that grid's, and one as long on both sides its
# zero between two integers: float32 would round such ties to one side, the file to the other.
_LONGER = 2.0**-14

# What moves a tie to the other side, and no average of hundreds of values that is none.
_SHARE_OF_STEP = 1e-3


@keras.saving.register_keras_serializable(package="edgekit")
class FakeQuantize(keras.layers.Layer):
    """Rounds its input as an integer tensor would, over a range followed from the data.

    In training the range starts as that of the first batch, all its samples, then follows the
    batches as the estimator says; a batch with a value that is not finite does not count. At
    inference it is fixed; before any training batch was seen, each input is rounded over its own
    range. Zero is always on the grid.

    Gradients pass to all inputs where the range holds the whole batch (`"recent"`, `"minmax"`).
    Otherwise what is clipped has none: the loss does not see it move. A learned step has them.

    Example:
        >>> y = FakeQuantize()(x)
        >>> p = FakeQuantize(fixed_range=(0.0, 255 / 256))(softmax)

    Args:
        bits: Width of the integers, 8 or 16; those of 16 bits are symmetric. Defaults to `8`.
        fixed_range: `(min, max)` where LiteRT prescribes the grid, as for softmax. Defaults to
            `None`: followed from the data.
        symmetric: Whether zero is the middle of the integers. Defaults to `False`.
        estimator: `"recent"`, `"minmax"`, `"ema"`, `"percentile"` or `"lsq"`, see
            `QuantScheme`. Defaults to `"recent"`.
        percentile: See `QuantScheme`. Defaults to `99.99`.
        sites: From how many places the graph that it is in is run, see `at_site`: each has a
            range of its own. Defaults to `1`.
        format: The files that the model is for, see `QuantScheme.format`; inside of some ops
            integers are wider than there. Defaults to `None`: unknown.
        hidden: Values as low as this, or half as low, are what a mask hides from the softmax that
            follows: the range reaches just as far down as it needs to. Defaults to `None`.
        lowest: Values below it count as this. Defaults to `None`.

    Call arguments:
        inputs: Tensor of any shape.
        observe: Whether training calls follow the range. Defaults to `True`.
        averages: Whether the inputs are averages of values on this grid, whose ties LiteRT's
            kernels round away from the integer zero. Defaults to `False`: ties go up.
        interpolated: Whether the inputs lie between values on this grid, by weights that make
            ties, which go up. Defaults to `False`.
        between: The images that the inputs were interpolated from, whose integers LiteRT's
            kernel takes at inference. Defaults to `None`: unknown, as in older files.
        part: Which input of a `Maximum` or the like, whose output is on this grid, the inputs
            are: at inference they are brought to it, otherwise they stay as they are. Defaults to
            `None`: they are none.
        training: Whether this is a training call.

    Attributes:
        frozen: Whether training leaves the range as it is. A train step that is compiled
            already keeps what it was compiled with.
        delayed: Whether training rounds nothing yet; ranges are followed all the same.
        emulates_kernels: Whether it computes what LiteRT's kernels round in their own way; the
            converter, whose graph the kernels compute, turns it off.
        in_loop: Whether it is called in a loop within the step, where the replicas of a
            distributed model cannot talk: whoever runs the loop calls `synchronize` after it.

    Source: Jacob et al. 2018, arXiv 1712.05877, section 3.1; Esser et al. 2020, arXiv
    1902.08153.
    """

    rounds = "activations"  # for the converter, which asks no more of a layer than this

    def __init__(
        self,
        bits: int = 8,
        fixed_range: tuple[float, float] | None = None,
        symmetric: bool = False,
        estimator: str = "recent",
        percentile: float = 99.99,
        sites: int = 1,
        format: str | None = None,
        hidden: float | None = None,
        lowest: float | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.format = format
        self.hidden = hidden
        self.lowest = lowest
        self.bits = bits
        self.fixed_range = tuple(fixed_range) if fixed_range else None
        self.symmetric = symmetric or bits == 16
        self.estimator = estimator
        self.percentile = percentile
        self.sites = sites
        self.supports_masking = True
        self.frozen = False
        self.delayed = False
        self.emulates_kernels = True
        self._stays_here = False
        self._source: keras.KerasTensor | None = None
        self._parts = SimpleNamespace(of={})  # a dictionary, TensorFlow would save
        self.in_loop = False

    @classmethod
    def of(
        cls,
        scheme: QuantScheme,
        fixed_range: tuple[float, float] | None = None,
        bits: int | None = None,
        name: str | None = None,
        sites: int = 1,
        hidden: float | None = None,
        lowest: float | None = None,
    ) -> "FakeQuantize":
        """The rounding that a scheme asks for, or one of other `bits` inside an op."""
        return cls(
            bits=bits or scheme.activation_bits,
            fixed_range=fixed_range,
            symmetric=scheme.symmetric,
            estimator=scheme.estimator,
            percentile=scheme.percentile,
            sites=sites,
            format=scheme.format,
            hidden=hidden,
            lowest=lowest,
            name=name,
        )

    @property
    def calibrated(self) -> bool:
        """Whether the range comes from finite data or is prescribed: what a converter needs."""
        if self.fixed_range is not None:
            return True
        # Whole variables: in a distributed model their values have no one number.
        state = {variable.name: np.asarray(variable) for variable in self.variables}
        seen = self._seen(state["recent" if self.estimator == "recent" else "seen_data"])
        return bool(np.all(seen > 0)) and all(
            np.isfinite(values).all() for values in state.values()
        )

    @property
    def clipped(self) -> float:
        """Share of what passed lately in training that was clipped, of the worst call; 0 to 1.

        Not counted, and 0, where the range holds every batch.
        """
        if self.fixed_range is not None:
            return 0.0
        clips = np.asarray(self.clips).reshape(-1, 2)
        return float(np.max(clips[:, 0] / np.maximum(clips[:, 1], 1e-9)))

    def build(self, input_shape):
        if self.fixed_range:
            return

        if self.estimator == "recent":
            self.recent = self._state("recent", STATE_OF_RECENT)
        elif self.estimator == "lsq":
            # The step is learned as the logarithm of its change, see KernelQuantizer.
            self.start = self._state("start")
            self.change = self.add_weight(
                name="change", shape=self._shape, initializer="zeros", autocast=False
            )
            self.zero_point = self._state("zero_point")
            self.seen_data = self._state("seen_data")
        else:
            self.range_min = self._state("range_min")
            self.range_max = self._state("range_max")
            self.seen_data = self._state("seen_data")
        # Shares and how many: their quotient is the mean of recent shares.
        self.clips = self._state("clips", 2)

    def load_own_variables(self, store):
        if len(store.keys()) != len(self.variables) - 1:
            super().load_own_variables(store)
            return
        # Saved before what is clipped was counted.
        variables = [*self.trainable_variables, *self.non_trainable_variables]
        for i, variable in enumerate(variables[:-1]):
            variable.assign(store[f"{i}"])

    def symbolic_call(self, inputs, *args, **kwargs):
        # Other calls round what is on its grid but for averaging.
        known, part = hasattr(inputs, "_keras_history"), kwargs.get("part")
        if known and part is not None:
            self._parts.of[part] = inputs
        elif known and not self._averages(**kwargs):
            name = type(inputs._keras_history.operation).__name__
            self._stays_here = name in _GIVEN_OTHER_RANGES
            self._source = inputs
        return super().symbolic_call(inputs, *args, **kwargs)

    @staticmethod
    def _averages(averages=False, interpolated=False, **_):
        return averages or interpolated

    def call(
        self,
        inputs,
        observe=True,
        averages=False,
        interpolated=False,
        between=None,
        part=None,
        training=None,
    ):
        if part is not None:
            return inputs if training else self._brought(inputs, part)
        rounded = self._rounded(inputs, observe, averages, interpolated, between, training)
        outputs = keep_unrounded(rounded, inputs)
        if self._stays_here and not self.emulates_kernels:
            # The converter puts a reshaping before the rounding that it follows. Left without a
            # range, MEAN gives integers of its input's step, and what picks those of the widest
            # of its inputs.
            outputs = ops.squeeze(ops.expand_dims(outputs, -1), -1)
        return outputs

    def _rounded(self, inputs, observe, averages, interpolated, between, training):
        emulates = self.emulates_kernels and not (training and self.delayed)
        if emulates and averages:
            inputs = self._ties_away_from_zero(inputs)
        elif emulates and interpolated:
            inputs = self._interpolated(inputs, None if training else between)
        elif self.emulates_kernels and not training and self._source is not None:
            arithmetic = arithmetic_of(self._source, self.bits)
            if arithmetic is not None:
                return self._as_kernels_do(inputs, arithmetic)
        masked = self.hidden is not None or self.lowest is not None
        if masked and (training or not self._surely_calibrated()):  # else the range says it
            inputs = self._in_reach(inputs)
        if self.fixed_range:
            return inputs if training and self.delayed else self._round(inputs, *self.fixed_range)
        follows = training and observe and not self.frozen
        holds_all = follows and self.estimator in _HOLDING_ALL
        relu = relu_of(inputs) if holds_all and not masked and not self.symmetric else None
        followed = self._follow(inputs, relu) if follows else None
        if training and self.delayed:
            return inputs
        if training and observe and (self.frozen or self.estimator not in _HOLDING_ALL):
            self._count(inputs)
        if training and self.estimator == "lsq":
            return self._round_with_learned_step(inputs)
        if not (training and observe):
            low, high = self._range_of_inference(inputs)
        else:
            low, high = followed or self._range()
        if relu is not None:
            return _round_relu(relu, high, self.bits)
        if holds_all:
            return _round_passing_gradients(inputs, low, high, self.bits)
        return self._round(inputs, low, high)

    def step(self):
        """The step of its integers at inference, of the call that runs; 0 before it has data."""
        return step_between(*(self.fixed_range or self._longer(*self._range())), self.bits)

    def _nearly_step(self):
        """The step but for the last bit, which takes float64; for training."""
        low, high = self.fixed_range or self._longer(*self._range())
        return (high - low) / (2**self.bits - 1)

    def _as_kernels_do(self, inputs, arithmetic):
        low, high = self.fixed_range or self._range_of_inference(inputs)
        values = arithmetic(ops.cast(inputs, "float32"), low, high)
        return ops.cast(self._round(values, low, high), inputs.dtype)

    def _interpolated(self, inputs, between):
        if between is None or self.bits != 8 or None in (*between.shape[1:], *inputs.shape[1:]):
            return inputs + _SHARE_OF_STEP * ops.cast(self._nearly_step(), inputs.dtype)
        step = self.step()
        values = resized(between, inputs.shape[1:3], ops.where(step > 0, step, 1.0))
        values = ops.where(step > 0, ops.cast(values, inputs.dtype), inputs)
        return inputs + ops.stop_gradient(values - inputs)

    def _brought(self, inputs, part):
        source = self._parts.of.get(part)
        arithmetic = None if source is None else arithmetic_of(source, self.bits)
        if arithmetic is None or not self.emulates_kernels:
            return inputs
        low, high = self.fixed_range or self._longer(*self._range())
        seen = high - low > 0
        low, high = ops.where(seen, low, 0.0), ops.where(seen, high, 1.0)
        values = arithmetic(ops.cast(inputs, "float32"), low, high)
        values = ops.cast(self._round(values, low, high), inputs.dtype)
        return ops.where(seen, values, inputs)

    def share_beyond(self, inputs):
        """Share of the values that the range clips, 0 to 1: they lie over half a step beyond it.

        What a mask hides is out of reach on purpose, and counts as held.
        """
        low, high = self._range()
        half = (high - low) / (2 * (2**self.bits - 1))
        if self.lowest is not None:
            inputs = ops.maximum(inputs, self.lowest)
        beyond = ops.logical_or(inputs < low - half, inputs > high + half)
        if self.hidden is not None:
            beyond = ops.logical_and(beyond, inputs > self.hidden / 2)
        return ops.mean(ops.cast(beyond, "float32"))

    def synchronize(self) -> None:
        """Let the replicas of a distributed model agree on a range followed in a loop."""
        if self.fixed_range is not None or self.frozen or not on_several_replicas():
            return
        if self.estimator == "recent":
            self._set(self.recent, recent_of_all_replicas(self._of_site(self.recent)))
            return
        if self.estimator == "lsq":
            low, high = of_all_replicas(*self._learned_from(self._of_site(self.start)))
            step = (high - low) / (2**self.bits - 1)
            self._set(self.start, step)
            self._set(self.zero_point, ops.round(-low / step))
            return
        low, high = of_all_replicas(*self._range())
        self._set(self.range_min, low)
        self._set(self.range_max, high)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {
            **super().get_config(),
            "bits": self.bits,
            "fixed_range": self.fixed_range,
            "symmetric": self.symmetric,
            "estimator": self.estimator,
            "percentile": self.percentile,
            "sites": self.sites,
            "format": self.format,
            "hidden": self.hidden,
            "lowest": self.lowest,
        }

    @property
    def _shape(self):
        return () if self.sites == 1 else (self.sites,)

    def _state(self, name, size=None):
        """A number per site, or `size` of them, that each replica of a distributed model has.

        Read from outside the replicas, it is their mean.
        """
        return keras.Variable(
            np.zeros((*self._shape, *([size] if size else [])), "float32"),
            dtype="float32",
            trainable=False,
            autocast=False,
            aggregation="mean",
            synchronization="on_read",
            name=name,
        )

    def _of_site(self, variable):
        """The variable's number for the call that is running."""
        return variable.value if self.sites == 1 else variable.value[running_site()]

    def _known_of_site(self, variable):
        """As `_of_site`, in NumPy where the number is known now."""
        known = known_numbers(variable.value)
        if known is None:
            return self._of_site(variable)
        return known if self.sites == 1 else known[running_site()]

    def _set(self, variable, value):
        if self.sites > 1:
            running = np.arange(self.sites) == running_site()
            running = np.reshape(running, (-1, *[1] * (len(variable.shape) - 1)))
            value = ops.where(running, value, variable.value)
        variable.assign(value)

    def _seen(self, value):
        """Above zero where the state, of a site or of all, has seen data."""
        return seen_in_recent(value) if self.estimator == "recent" else value

    def _range(self):
        if self.estimator == "recent":
            return recent_range(self._known_of_site(self.recent))
        if self.estimator != "lsq":
            return self._known_of_site(self.range_min), self._known_of_site(self.range_max)
        with where_known(self.start):
            change = ops.exp(self._of_site(self.change))
            return self._learned_from(self._of_site(self.start) * change)

    def _range_of_inference(self, inputs):
        """The range, or that of the inputs as long as no batch was seen; zero is on its grid."""
        surely = self._surely_calibrated()
        low, high = self._range() if surely else self._range_or_own(inputs)
        return self._longer(low, high)

    def _longer(self, low, high):
        if self.symmetric or self.estimator == "lsq":  # whose zero points are whole
            return low, high
        return low, high * (1 + _LONGER)

    def _range_or_own(self, inputs):
        """The range, or that of the inputs as long as no batch was seen."""
        own = self._widened(*traced_once(extremes, ops.stop_gradient(inputs)))
        if self.estimator == "recent":
            return traced_once(recent_range_or, self._of_site(self.recent), *own)
        unseen = ops.equal(self._of_site(self.seen_data), 0)
        return tuple(ops.where(unseen, o, k) for o, k in zip(own, self._range(), strict=True))

    def _learned_from(self, step):
        low = -self._of_site(self.zero_point) * step
        return low, low + (2**self.bits - 1) * step

    def _follow(self, inputs, relu=None):
        """Take a batch into the state; the range that follows, if it is known without reading."""
        inputs = ops.stop_gradient(inputs if relu is None else relu.inputs)
        ceiling = None if relu is None else relu.ceiling
        alone = self.in_loop or not on_several_replicas()
        if self.estimator == "recent" and alone and not self.symmetric:  # in one call, quicker
            state = self._of_site(self.recent)
            state, low, high = traced_once(next_recent_of_batch, state, inputs, ceiling=ceiling)
            self._set(self.recent, state)
            return low, high
        if self.estimator == "percentile":
            low, high = batch_percentiles(inputs, self.percentile)
        else:
            low, high = traced_once(extremes, inputs, ceiling=ceiling)
        if not self.in_loop:
            low, high = of_all_replicas(low, high)
        low, high = self._widened(low, high)
        if self.estimator == "recent":
            state = self._of_site(self.recent)
            state, low, high = traced_once(next_recent, state, low, high, ceiling=ceiling)
            self._set(self.recent, state)
            return low, high
        seen, before = self._of_site(self.seen_data), self._range()
        finite = ops.isfinite(high - low)
        low, high = ops.where(finite, low, before[0]), ops.where(finite, high, before[1])
        if self.estimator == "lsq":
            self._start_from(low, high, seen)
            self._set(self.seen_data, ops.where(finite, ops.minimum(seen + 1, _START), seen))
            return None
        if self.estimator == "minmax":  # the zeros it starts from are inside every range
            low, high = ops.minimum(before[0], low), ops.maximum(before[1], high)
            if relu is not None:
                low, high = ops.zeros_like(low), ops.minimum(high, ceiling)
        else:
            keep = _MOMENTUM * seen  # nothing of the zeros it starts from
            low, high = keep * before[0] + (1 - keep) * low, keep * before[1] + (1 - keep) * high
        self._set(self.range_min, low)
        self._set(self.range_max, high)
        self._set(self.seen_data, ops.where(finite, 1.0, seen))
        return None

    def _count(self, inputs):
        share = ops.stop_gradient(self.share_beyond(ops.cast(inputs, "float32")))
        before = self._of_site(self.clips)
        self._set(self.clips, _COUNT_MOMENTUM * before + ops.stack([share, ops.ones_like(share)]))

    def _start_from(self, low, high, seen):
        """The first batches give the step that then is learned, and the zero point.

        The first batch alone would clip what it lacks, and learning takes long to undo that.
        """
        start, zero = self._of_site(self.start), self._of_site(self.zero_point)
        start_low, start_high = self._learned_from(start)
        # The zero point is whole: an end may lie half a step beyond what gave it.
        outside = ops.logical_or(low < start_low - start / 2, high > start_high + start / 2)
        moves = ops.logical_and(outside, seen < _START)
        low, high = ops.minimum(start_low, low), ops.maximum(start_high, high)
        step = (high - low) / (2**self.bits - 1)
        self._set(self.start, ops.where(moves, step, start))
        self._set(self.zero_point, ops.where(moves, ops.round(-low / step), zero))

    def _widened(self, low, high):
        """The range as the scheme allows it: on both sides of zero alike if symmetric."""
        if not self.symmetric:
            return low, high
        half = 2 ** (self.bits - 1)
        step = ops.maximum(-low, high) / (half - 1)
        return -half * step, (half - 1) * step

    def _in_reach(self, inputs):
        """The inputs, where what a mask hides is as low as it has to be and no lower."""
        if self.lowest is not None:
            inputs = ops.maximum(inputs, self.lowest)
        if self.hidden is None:
            return inputs
        values = ops.stop_gradient(inputs)
        seen = values > self.hidden / 2
        # Where all is hidden, zero, which every range holds.
        lowest = ops.min(ops.where(seen, values, ops.maximum(ops.max(values), 0.0)))
        return ops.maximum(inputs, lowest - reach(inputs.shape[-1], self.bits))

    def _ties_away_from_zero(self, inputs):
        low, _ = self.fixed_range or self._range()
        step = self._nearly_step()
        zero_point = ops.round(-low / ops.maximum(step, 1e-37))  # 0 before any data
        below = inputs < (2 ** (self.bits - 1) - zero_point) * step
        # Averages of n values are 1 / 2n from a tie or on it, where float32 says anything.
        share = _SHARE_OF_STEP * step
        return inputs + ops.where(below, -share, share)

    def _round(self, inputs, low, high):
        return _fake_quant(inputs, low, high, self.bits)

    def _round_with_learned_step(self, inputs):
        values = ops.cast(inputs, "float32")
        levels = 2**self.bits - 1
        per_sample = ops.cast(ops.size(values) // ops.shape(values)[0], "float32")
        gradient_scale = ops.rsqrt(per_sample * (levels / 2))  # LSQ, section 2.2
        learned = self._of_site(self.change)
        change = learned * gradient_scale
        change = change + ops.stop_gradient(learned - change)
        step = self._of_site(self.start) * ops.exp(change)
        zero = self._of_site(self.zero_point)
        places = ops.clip(values / step + zero, 0.0, float(levels))
        places = places + ops.stop_gradient(ops.round(places) - places)
        return ops.cast((places - zero) * step, inputs.dtype)

    def _surely_calibrated(self):
        """True when the range is known now, while tracing: then the graph needs no choice."""
        if keras.backend.backend() != "tensorflow":
            return False
        import tensorflow as tf

        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            return False  # a replica cannot look at the value while tracing
        with tf.init_scope():
            return tf.executing_eagerly() and self.built and self.calibrated


def _round_passing_gradients(inputs, low, high, bits):
    """Rounding with gradients passing through unchanged, which costs no time.

    For ranges that hold the whole batch: but for half a step at the ends, nothing is clipped.
    """

    @ops.custom_gradient
    def rounding(values):
        def gradient(*upstreams, upstream=None):
            return upstreams[0] if upstream is None else upstream

        return _fake_quant(values, low, high, bits), gradient

    return rounding(inputs)


def _round_relu(relu: Relu, high, bits):
    """As `_round_passing_gradients`, from what the ReLU clips: all its outputs are in the range."""
    import tensorflow as tf

    @tf.custom_gradient
    def rounding(values):
        return _fake_quant(values, 0.0, high, bits), relu.gradient

    return rounding(relu.inputs)


def _fake_quant(values, low, high, bits):
    """`keras.quantizers.fake_quant_with_min_max_vars` without its six operations for shapes."""
    if keras.backend.backend() != "tensorflow":
        return keras.quantizers.fake_quant_with_min_max_vars(values, low, high, bits)
    import tensorflow as tf

    rounded = ops.cast(values, "float32")
    rounded = tf.quantization.fake_quant_with_min_max_vars(rounded, low, high, bits)
    return ops.cast(rounded, values.dtype)

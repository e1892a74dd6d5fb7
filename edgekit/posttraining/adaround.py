"""`adaround`: each weight rounded up or down as suits the layer's outputs, not to the nearest."""

import keras
import numpy as np
from keras import ops

from edgekit.core.arguments import check_whole
from edgekit.core.graph import Graph, with_nested
from edgekit.core.kernel_layout import kernel_layout, kernel_of
from edgekit.core.low_rank import check_plain
from edgekit.posttraining.fold_batchnorm import fold_batchnorm
from edgekit.posttraining.rounding import check_bits, kernel_steps
from edgekit.posttraining.side_by_side import SideBySide, apply, samples_of

# The rectified sigmoid reaches a little beyond 0 and 1, so that choices can settle there.
_LOW, _HIGH = -0.1, 1.1
_REGULARIZATION = 0.01
_WARM_UP = 0.2
_SHARPNESS = (20.0, 2.0)
_RATE = 0.01
_BATCH = 32


def adaround(
    model: keras.Model,
    data,
    bits: int = 4,
    per_channel: bool = True,
    iterations: int = 1000,
    seed: int = 0,
) -> keras.Model:
    """The model with kernels on the grid of `bits` bits, each weight rounded up or down by choice.

    Layer by layer, the choices are trained so that the layer's outputs on samples stay what they
    were, with all layers before rounded already: the error of one weight makes up for that of
    another. BatchNormalization is folded first. The converter finds the grid again and stores
    exactly these integers.

    Example:
        >>> better = adaround(model, x_train[:1000], bits=4)
        >>> ek.convert(better, "int4", calibration=x_train[:200])

    Args:
        model: A built Functional or Sequential model. It stays as it is.
        data: Samples like those the model will see: a `(samples, ...)` array, or one for each
            input as a list or a dict by name. About a thousand.
        bits: Width of the kernels, 2 to 8. Defaults to `4`.
        per_channel: Whether each output channel has a step of its own. Defaults to `True`.
        iterations: Training steps per layer, 100 at least. Defaults to `1000`.
        seed: For the order of samples. Defaults to `0`.

    Returns:
        A new, uncompiled Functional model of plain layers.

    Raises:
        ValueError: Layers with LoRA or quantized by Keras,
            wrong options, no samples or not those of the model's inputs, a subclassed or
            unbuilt model.

    Source: Nagel et al. 2020, Up or Down? Adaptive Rounding for Post-Training Quantization,
    arXiv 2004.10568.
    """
    check_bits(bits)
    check_whole("iterations", iterations, least=100)
    check_whole("seed", seed, least=0)
    check_plain(model)
    folded = fold_batchnorm(model)
    graph = Graph(folded)
    arrays = samples_of(data, graph)
    followers = _followers(graph)
    rng = np.random.default_rng(seed)

    def treat(layer, plain, rounded):
        output = apply(layer, plain)
        axes = kernel_layout(layer).channel_axes if per_channel else ()
        kernel = kernel_of(layer)
        steps = kernel_steps(np.asarray(kernel), axes, bits)
        follower = followers.get(id(layer))
        soft = _SoftRounding(layer, follower, steps, bits, iterations)
        kernel.assign(_train(soft, rounded, output, follower, iterations, rng))
        return output, apply(layer, rounded)

    SideBySide(treat).treat_all(graph, arrays, "adaround")
    return folded


def _followers(graph: Graph) -> dict[int, keras.layers.Layer]:
    """`{id(layer): the activation layer that alone reads it}`: what the outputs are for."""
    kinds = (keras.layers.ReLU, keras.layers.Activation, keras.layers.LeakyReLU)
    found = {}
    for inner in with_nested(graph):
        for call in inner.calls:
            following = inner.sole_consumer(call.outputs[0])
            if following is not None and isinstance(following.operation, kinds):
                found[id(call.operation)] = following.operation
    return found


class _SoftRounding(keras.layers.Layer):
    """The layer with weights between two steps, where training moves them to either."""

    def __init__(self, layer, follower, steps, bits, iterations):
        super().__init__(name="soft_rounding")
        self.inside = (layer, follower)
        self.steps, self.levels, self.iterations = steps, 2 ** (bits - 1) - 1, iterations
        kernel = np.asarray(kernel_of(layer)) / steps
        self.floor = np.floor(kernel)
        share = np.clip((kernel - self.floor - _LOW) / (_HIGH - _LOW), 1e-4, 1 - 1e-4)
        self.start = np.log(share / (1 - share)).astype("float32")

    def build(self, input_shape):
        self.choice = self.add_weight(
            shape=self.start.shape,
            initializer=lambda shape, dtype: ops.convert_to_tensor(self.start, dtype),
            name="choice",
        )
        self.step = self.add_weight(shape=(), initializer="zeros", trainable=False, name="step")

    def call(self, inputs):
        layer, follower = self.inside
        up = ops.clip(ops.sigmoid(self.choice) * (_HIGH - _LOW) + _LOW, 0.0, 1.0)
        kernel = ops.clip(self.floor + up, -self.levels, self.levels) * self.steps
        variable = kernel_of(layer)
        with keras.StatelessScope(state_mapping=[(variable, kernel)]):
            outputs = layer(inputs)
        done = self.step / self.iterations
        self.step.assign(self.step + 1.0)
        past = ops.clip((done - _WARM_UP) / (1 - _WARM_UP), 0.0, 1.0)
        first, last = _SHARPNESS
        sharpness = last + (first - last) * 0.5 * (1 + ops.cos(past * np.pi))
        undecided = ops.sum(1 - ops.power(ops.abs(2 * up - 1) + 1e-7, sharpness))
        self.add_loss(_REGULARIZATION * ops.cast(done > _WARM_UP, "float32") * undecided)
        return outputs if follower is None else follower(outputs)

    def rounded(self) -> np.ndarray:
        """The kernel with each choice made."""
        up = np.asarray(self.choice) >= 0
        return np.clip(self.floor + up, -self.levels, self.levels).astype("float32") * self.steps


class _Draws(keras.utils.PyDataset):
    """Batches of samples by index."""

    def __init__(self, inputs, targets, indices):
        super().__init__()
        self.inputs, self.targets, self.indices = inputs, targets, indices

    def __len__(self):
        return len(self.indices)

    def __getitem__(self, index):
        chosen = self.indices[index]
        return self.inputs[chosen], self.targets[chosen]


def _train(soft, inputs, outputs, follower, iterations, rng) -> np.ndarray:
    """Train the choices; the rounded kernel."""
    targets = outputs if follower is None else apply(follower, outputs)
    spread = float(targets.std()) or 1.0
    layer = soft.inside[0]
    trainable, layer.trainable = layer.trainable, False
    tensor = keras.Input(inputs.shape[1:], dtype=inputs.dtype)
    trainer = keras.Model(tensor, soft(tensor))

    def loss(expected, found):  # per place, over all channels
        return ops.sum(ops.square((found - expected) / spread), axis=-1)

    trainer.compile(keras.optimizers.Adam(_RATE), loss)
    draws = _Draws(inputs, targets, rng.integers(0, len(inputs), (iterations, _BATCH)))
    trainer.fit(draws, shuffle=False, verbose=0)
    layer.trainable = trainable
    return soft.rounded()

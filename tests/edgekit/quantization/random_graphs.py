"""Random functional graphs, as people build them, and how far QAT and its file are apart."""

import random
import warnings
from collections.abc import Callable
from dataclasses import dataclass

import keras
import numpy as np
from keras import layers, ops

import edgekit as ek

SHAPE = (8, 8, 3)


@keras.saving.register_keras_serializable(package="random_graphs")
class OwnScale(layers.Layer):
    """A user's layer with a weight per channel, which asks for the batch's size."""

    def build(self, input_shape):
        self.scale = self.add_weight(shape=(input_shape[-1],), initializer="ones")

    def call(self, x):
        shape = ops.shape(x)
        return ops.reshape(ops.reshape(x, (shape[0], -1, shape[-1])) * self.scale, shape)


@keras.saving.register_keras_serializable(package="random_graphs")
class OwnPool(layers.Layer):
    """A user's layer that pools in two ways."""

    def call(self, x):
        pooled = ops.average_pool(x, 2, strides=1, padding="same")
        return ops.maximum(x, pooled) if x.shape[-1] % 2 else pooled + x * 0.5


@keras.saving.register_keras_serializable(package="random_graphs")
class OwnBlock(layers.Layer):
    """A user's layer of layers."""

    def __init__(self, filters, **options):
        super().__init__(**options)
        self.filters = filters
        self.first = layers.Conv2D(filters, 1, use_bias=False)
        self.norm = layers.BatchNormalization()

    def build(self, input_shape):
        self.first.build(input_shape)
        self.norm.build((*input_shape[:-1], self.filters))

    def call(self, x, training=None):
        return ops.relu(self.norm(self.first(x), training=training))

    def get_config(self):
        return {**super().get_config(), "filters": self.filters}


def _sized(x, size):
    return x.shape[1] >= size and x.shape[2] >= size


def _nested(draw: random.Random, x):
    inner = keras.Input(x.shape[1:])
    y = _image_step(draw, _image_step(draw, inner, depth=1), depth=1)
    if tuple(y.shape) == tuple(x.shape) and draw.random() < 0.5:
        y = y + inner
    model = keras.Model(inner, y)
    if tuple(y.shape) == tuple(x.shape) and draw.random() < 0.4:  # called twice
        return model(model(x))
    return model(x)


def _branches(draw: random.Random, x):
    filters = draw.choice([4, 6])
    one = layers.Conv2D(filters, draw.choice([1, 3]), padding="same")(x)
    two = layers.Conv2D(filters, 1)(x) if draw.random() < 0.5 else one * 0.5
    merge = draw.choice(
        [
            layers.Add(),
            layers.Multiply(),
            layers.Subtract(),
            layers.Maximum(),
            layers.Average(),
            layers.Concatenate(),
        ]
    )
    return merge([one, two])


def _resized(draw: random.Random, x):
    if x.shape[1] > 8:
        return layers.MaxPooling2D(2)(x)
    interpolation = draw.choice(["bilinear", "nearest"])
    if draw.random() < 0.5:
        return layers.UpSampling2D(2, interpolation=interpolation)(x)
    size = (draw.choice([3, 5, 8]), draw.choice([4, 6, 7]))
    if draw.random() < 0.5:
        return layers.Resizing(*size, interpolation=interpolation)(x)
    return ops.image.resize(x, size, interpolation=interpolation)


def _gated(draw: random.Random, x):
    """Squeeze and excite."""
    y = layers.GlobalAveragePooling2D(keepdims=draw.random() < 0.5)(x)
    if len(y.shape) == 2:
        y = layers.Reshape((1, 1, y.shape[-1]))(y)
    return x * layers.Conv2D(x.shape[-1], 1, activation="sigmoid")(y)


def _shared(draw: random.Random, x):
    layer = layers.Conv2D(x.shape[-1], 3, padding="same")
    return layer(ops.relu(layer(x)))


# What a graph is made of: a name, how often, and what it does with an image.
_IMAGE: dict[str, tuple[int, Callable]] = {
    "conv": (
        5,
        lambda d, x: layers.Conv2D(
            d.choice([3, 4, 6, 8]), d.choice([1, 3]), strides=d.choice([1, 1, 2]), padding="same"
        )(x),
    ),
    "conv_bn_relu": (
        3,
        lambda d, x: layers.ReLU(d.choice([None, 6.0]))(
            layers.BatchNormalization()(layers.Conv2D(6, 3, padding="same", use_bias=False)(x))
        ),
    ),
    "depthwise": (2, lambda d, x: layers.DepthwiseConv2D(3, padding="same")(x)),
    "separable": (1, lambda d, x: layers.SeparableConv2D(4, 3, padding="same")(x)),
    "transposed": (1, lambda d, x: layers.Conv2DTranspose(4, 3, padding="same")(x)),
    "dense": (1, lambda d, x: layers.Dense(5)(x)),
    "activation_layer": (
        3,
        lambda d, x: layers.Activation(
            d.choice(["relu", "relu6", "tanh", "sigmoid", "silu", "gelu", "softplus"])
        )(x),
    ),
    "leaky": (1, lambda d, x: layers.LeakyReLU(0.1)(x)),
    "prelu": (1, lambda d, x: layers.PReLU(shared_axes=[1, 2])(x)),
    "operation": (
        3,
        lambda d, x: d.choice([ops.relu, ops.tanh, ops.sigmoid, ops.silu, ops.relu6, ops.abs])(x),
    ),
    "arithmetic": (
        2,
        lambda d, x: d.choice(
            [
                lambda t: t + t * 0.5,
                lambda t: t * 2.0 - 1.0,
                lambda t: -t,
                lambda t: ops.clip(t, -1.0, 1.0),
                lambda t: ops.maximum(t, 0.1),
                lambda t: ops.where(t > 0, t, t * 0.2),
                lambda t: t[:, :, ::-1],
            ]
        )(x),
    ),
    "branches": (4, _branches),
    "max_pool": (1, lambda d, x: layers.MaxPooling2D(2)(x) if _sized(x, 4) else x),
    "average_pool": (
        2,
        lambda d, x: (
            layers.AveragePooling2D(d.choice([2, 3]), padding=d.choice(["same", "valid"]))(x)
            if _sized(x, 4)
            else x
        ),
    ),
    "resize": (2, _resized),
    "batchnorm": (1, lambda d, x: layers.BatchNormalization()(x)),
    "layernorm": (1, lambda d, x: layers.LayerNormalization()(layers.Conv2D(8, 1)(x))),
    "groupnorm": (1, lambda d, x: layers.GroupNormalization(2)(layers.Conv2D(8, 1)(x))),
    "unit_norm": (1, lambda d, x: layers.UnitNormalization()(x)),
    "pad": (1, lambda d, x: layers.Cropping2D(1)(layers.ZeroPadding2D(1)(x))),
    "dropout": (1, lambda d, x: layers.Dropout(0.2)(x)),
    "gated": (1, _gated),
    "shared": (1, _shared),
    "own": (
        2,
        lambda d, x: d.choice([OwnScale(), OwnPool(), OwnBlock(4)])(x),
    ),
    "nested": (2, _nested),
}


def _image_step(draw: random.Random, x, depth: int = 0):
    names = [name for name in _IMAGE if depth == 0 or name != "nested"]
    name = draw.choices(names, [_IMAGE[n][0] for n in names])[0]
    return _IMAGE[name][1](draw, x)


def _head(draw: random.Random, x):
    kind = draw.choice(["map", "pooled", "flat", "operation", "sequence"])
    if kind == "map":
        return x
    if kind == "operation":
        return draw.choice([ops.sigmoid, lambda t: t * 2.0, ops.softmax, lambda t: t + t])(x)
    if kind == "sequence":
        y = layers.Reshape((-1, x.shape[-1]))(x)
        return layers.Dense(3)(layers.GlobalAveragePooling1D()(y))
    pool = draw.choice([layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D])
    y = pool()(x) if kind == "pooled" else layers.Flatten()(x)
    y = layers.Dense(4, activation=draw.choice([None, "relu", "softmax", "sigmoid"]))(y)
    return ops.mean(y, axis=-1, keepdims=True) if draw.random() < 0.2 else y


def graph_of(seed: int) -> keras.Model:
    """A random graph with one input, an image of `SHAPE`; the same for the same seed."""
    keras.utils.set_random_seed(seed)
    draw = random.Random(seed)
    image = keras.Input(SHAPE)
    x, kept = image, []
    for _ in range(draw.randint(2, 7)):
        x = _image_step(draw, x)
        kept.append(x)
    alike = [t for t in kept[:-1] if tuple(t.shape) == tuple(x.shape)]
    if alike and draw.random() < 0.5:  # a skip connection
        x = draw.choice([layers.Add(), layers.Concatenate()])([x, draw.choice(alike)])
    outputs = [_head(draw, x)]
    if draw.random() < 0.2:
        outputs.append(_head(draw, draw.choice(kept)))
    return keras.Model(image, outputs)


@dataclass(frozen=True)
class Outcome:
    """What became of a graph.

    Args:
        seed: Of the graph.
        error: What was raised, or None.
        beyond: Share of the outputs' elements more than one step from Keras, 0 to 1, of the
            output with the most.
        largest: Largest difference, in steps.
        silent: Ops that stayed float and that no warning named the cause of.
    """

    seed: int
    error: str | None = None
    beyond: float = 0.0
    largest: float = 0.0
    silent: tuple[str, ...] = ()


def outcomes(seeds: list[int], kernels: str = "xnnpack") -> list[Outcome]:
    """Train each graph for a step, convert it to int8 and compare it with Keras.

    All are one model with as many parts, which one conversion serves; where that fails, each is
    tried alone. XNNPACK's kernels round once, as QAT does; the reference ones round twice.
    """
    try:
        return _together(seeds, kernels)
    except Exception as error:  # whatever a graph of these raises
        if len(seeds) == 1:
            return [Outcome(seeds[0], f"{type(error).__name__}: {error}"[:500])]
    half = len(seeds) // 2
    return outcomes(seeds[:half], kernels) + outcomes(seeds[half:], kernels)


def _together(seeds: list[int], kernels: str) -> list[Outcome]:
    parts, told = {}, {}
    for seed in seeds:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            parts[seed] = ek.quantize_aware(graph_of(seed))
        told[seed] = any("leaves in float" in str(w.message) for w in caught)
        _train(parts[seed])
    # Each with an input of its own, as it has alone: on one, they would share a grid.
    images = [keras.Input(SHAPE) for _ in parts]
    outputs, owner = [], []
    for (seed, part), image in zip(parts.items(), images, strict=True):
        found = keras.tree.flatten(part(image))
        outputs += found
        owner += [seed] * len(found)
    model = keras.Model(images, outputs)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        file = ek.convert(model, "int8")["int8"]
    x = [_data(32, 99)] * len(images)
    expected, report = keras.tree.flatten(model.predict(x, verbose=0)), ek.inspect(file)
    found = file.predict(x, kernels=kernels)
    found = found if isinstance(found, dict) else {"output_0": found}
    steps = {edge.name: edge.scale for edge in report.outputs}
    islands = tuple(op.name for op in report.float_islands)
    if islands and not all(told.values()) and len(seeds) > 1:
        raise ValueError("one of these graphs stays float in part")  # which one, alone
    results = {}
    for i, (seed, values) in enumerate(zip(owner, expected, strict=True)):
        name = f"output_{i}"
        unit = steps[name] or max(float(np.ptp(values)), 1e-9) / 255
        difference = np.abs(found[name] - values) / unit
        before = results.get(seed, Outcome(seed, silent=() if told[seed] else islands))
        results[seed] = Outcome(
            seed,
            None,
            max(before.beyond, float(np.mean(difference > 1.01))),
            max(before.largest, float(difference.max())),
            before.silent,
        )
    return list(results.values())


def _train(model: keras.Model) -> None:
    model.compile(keras.optimizers.SGD(1e-3), "mse", run_eagerly=True)
    x = _data(16, 0)
    targets = [np.zeros(t.shape, "float32") for t in keras.tree.flatten(model(x))]
    for seed in (0, 1):
        model.train_on_batch(_data(16, seed), targets if len(targets) > 1 else targets[0])


def _data(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, *SHAPE)).astype("float32")

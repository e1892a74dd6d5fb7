"""Training for int8 with default settings against quantization after training, on ten tasks.

    python benchmarks/qat_tasks.py --out benchmarks/results/qat_tasks.json

The tasks differ in their outputs: classes, values with an offset, heavy tails, boxes beside
scores, maps, images, pairs, sequences, two heads. Their data are made, so that nothing has to be
fetched. Each net trains in float, then half as long again twice: in float, after which it is
quantized with its training data as calibration, and quantization-aware. Three figures are
compared on data neither has seen, those of the two int8 files under LiteRT and of the float net;
all are errors, so less is better. A task passes if the mean of training for int8 is not above
that of quantization after training by more than the deviation between seeds.
"""

import platform
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import click
import keras
import numpy as np
from figures import save
from keras import layers, ops

import edgekit as ek

TRAIN, TEST, BATCH = 2048, 1024, 64
RATE, TUNING_RATE = 3e-3, 5e-4


@click.command()
@click.option("--seeds", default=3, show_default=True, help="How many nets per task.")
@click.option("--epochs", default=10, show_default=True, help="Epochs of float training.")
@click.option("--tune", default=5, show_default=True, help="Epochs of each second training.")
@click.option("--task", "only", multiple=True, help="A task's name; repeat for several.")
@click.option("--quick", is_flag=True, help="One seed, few epochs: whether it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(seeds, epochs, tune, only, quick, out):
    """Train, quantize, convert, compare."""
    if unknown := set(only) - set(TASKS):
        raise click.BadParameter(f"{', '.join(unknown)}; there are {', '.join(TASKS)}")
    if quick:
        seeds, epochs, tune = 1, 2, 1
    found = {}
    for name in only or TASKS:
        start = time.perf_counter()
        runs = [_run(TASKS[name], seed, epochs, tune) for seed in range(seeds)]
        found[name] = {"summary": _summary(runs), "runs": runs}
        print(f"{_line(name, found[name]['summary'])}  {time.perf_counter() - start:.0f} s")
        settings = {"train": TRAIN, "test": TEST, "batch": BATCH, "epochs": epochs, "tune": tune}
        report = {"settings": {**settings, "seeds": seeds}, "python": platform.python_version()}
        save({**report, "keras": keras.__version__, "tasks": found}, out)


def _run(task, seed, epochs, tune) -> dict:
    """Errors of one seed: `{"float", "ptq", "qat"}`."""
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    net, data, loss, error = task()
    x, y = data(rng, TRAIN)
    x_test, y_test = data(rng, TEST)
    _fit(net, x, y, loss, epochs, RATE)
    qat = ek.quantize_aware(net)
    for model in (net, qat):
        keras.utils.set_random_seed(seed)
        _fit(model, x, y, loss, tune, TUNING_RATE)
    ptq = ek.convert(net, "int8", calibration=x)["int8"]
    found = {
        "float": net.predict(x_test, batch_size=256, verbose=0),
        "ptq": ptq.predict(x_test),
        "qat": ek.convert(qat, "int8")["int8"].predict(x_test),
    }
    return {name: round(float(error(y_test, output)), 5) for name, output in found.items()}


def _fit(model, x, y, loss, epochs, rate) -> None:
    steps = epochs * TRAIN // BATCH
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), loss)
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)


def _summary(runs) -> dict:
    means = {name: statistics.mean(run[name] for run in runs) for name in runs[0]}
    gaps = [run["qat"] - run["ptq"] for run in runs]
    deviation = statistics.stdev(run["ptq"] for run in runs) if len(runs) > 1 else 0.0
    return {
        **{name: round(mean, 5) for name, mean in means.items()},
        "deviation": round(deviation, 5),
        "gap": round(statistics.mean(gaps), 5),
        "never_worse": statistics.mean(gaps) <= deviation,
    }


def _line(name, summary) -> str:
    errors = "  ".join(f"{key} {summary[key]:8.4f}" for key in ("float", "ptq", "qat"))
    mark = "" if summary["never_worse"] else "  WORSE"
    return f"{name:16s} {errors}  ± {summary['deviation']:.4f}{mark}"


# Data: shapes of random place, size and brightness on a noisy ground.


def _images(rng, count, size=16):
    """Images `(count, size, size, 1)`, masks of what is on them, and kind, center and half side."""
    kinds = rng.integers(0, 3, count)
    half = rng.uniform(2, 4.5, count)
    center = rng.uniform(5, size - 5, (count, 2))
    rows, columns = np.mgrid[:size, :size]
    down = np.abs(rows - center[:, :1, None])
    across = np.abs(columns - center[:, 1:, None])
    side = half[:, None, None]
    shapes = [
        np.maximum(down, across) <= side,
        np.hypot(down, across) <= side,
        np.minimum(down, across) + 0.3 * np.maximum(down, across) <= 0.3 * side,
    ]
    masks = np.choose(kinds[:, None, None], shapes).astype("float32")[..., None]
    light = rng.uniform(0.5, 1, (count, 1, 1, 1))
    images = masks * light + rng.normal(0, 0.15, masks.shape)
    return images.astype("float32"), masks, kinds, center, half


def _features(x, filters=(16, 24, 32)):
    for i, count in enumerate(filters):
        x = layers.Conv2D(count, 3, strides=2 if i else 1, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization(momentum=0.9)(x))
    return x


def _rmse(y, found):
    return np.sqrt(np.mean((np.asarray(y, "float64") - found) ** 2))


# Tasks: each gives (net, data, loss, error).


def classification():
    """Which of three shapes it is; the error is a share."""
    image = keras.Input((16, 16, 1))
    x = layers.GlobalAveragePooling2D()(_features(image))

    def data(rng, count):
        images, _, kinds, _, _ = _images(rng, count)
        return images, kinds

    net = keras.Model(image, layers.Dense(3, activation="softmax")(x))
    loss = "sparse_categorical_crossentropy"
    return net, data, loss, lambda y, found: np.mean(found.argmax(-1) != y)


def _table(target):
    """A net on eight columns, whose target is a function of them."""
    columns = keras.Input((8,))
    x = layers.Dense(32, activation="relu")(columns)
    x = layers.Dense(32, activation="relu")(x)

    def data(rng, count):
        x = rng.normal(size=(count, 8)).astype("float32")
        return x, target(x).astype("float32")

    # So that offset and scale need not be learned first.
    sample = target(np.random.default_rng(0).normal(size=(1000, 8)))
    head = layers.Dense(
        1,
        kernel_initializer=keras.initializers.VarianceScaling(float(sample.var())),
        bias_initializer=keras.initializers.Constant(float(np.median(sample))),
    )
    return keras.Model(columns, head(x)), data


def offset():
    """A value of 47 ± 30, as temperatures or prices have it."""
    net, data = _table(lambda x: 47 + 20 * x[:, :1] + 10 * x[:, 1:2] * x[:, 2:3])
    return net, data, "mse", _rmse


def heavy_tails():
    """A value most often near 0 and rarely ten times as large."""
    net, data = _table(lambda x: np.sinh(1.2 * x[:, :1] + 0.5 * x[:, 1:2]))
    return net, data, "mse", _rmse


def boxes():
    """Center and side in pixels beside the scores of three shapes; errors of both in one number."""
    image = keras.Input((16, 16, 1))
    x = layers.Flatten()(_features(image))
    x = layers.Dense(32, activation="relu")(x)
    outputs = {
        "box": layers.Dense(3, name="box")(x),
        "score": layers.Dense(3, activation="softmax", name="score")(x),
    }

    def data(rng, count):
        images, _, kinds, center, half = _images(rng, count)
        return images, {"box": np.column_stack([center, half]).astype("float32"), "score": kinds}

    def error(y, found):
        wrong = np.mean(found["score"].argmax(-1) != y["score"])
        return _rmse(y["box"], found["box"]) + wrong

    losses = {"box": "mse", "score": "sparse_categorical_crossentropy"}
    return keras.Model(image, outputs), data, losses, error


def segmentation():
    """Which pixels the shape covers, by an hourglass with a bridge; one minus the overlap."""
    image = keras.Input((16, 16, 1))
    wide = _features(image, (12,))
    x = layers.UpSampling2D()(_features(wide, (12, 24)))
    x = layers.Concatenate()([wide, x])
    x = layers.Conv2D(12, 3, padding="same", activation="relu")(x)
    net = keras.Model(image, layers.Conv2D(1, 1, activation="sigmoid")(x))

    def data(rng, count):
        images, masks, *_ = _images(rng, count)
        return images, masks

    def error(y, found):
        found = found > 0.5
        return 1 - np.sum(found * y) / np.sum(np.maximum(found, y))

    return net, data, "binary_crossentropy", error


def autoencoder():
    """Images through 16 numbers; the root of the mean squared error."""
    image = keras.Input((16, 16, 1))
    code = layers.Dense(16)(layers.Flatten()(_features(image)))
    x = layers.Reshape((4, 4, 16))(layers.Dense(256, activation="relu")(code))
    x = layers.Conv2DTranspose(16, 3, strides=2, padding="same", activation="relu")(x)
    net = keras.Model(image, layers.Conv2DTranspose(1, 3, strides=2, padding="same")(x))

    def data(rng, count):
        images, *_ = _images(rng, count)
        return images, images

    return net, data, "mse", _rmse


def siamese():
    """Whether two images, one four times as bright, show the same shape, as half of them do."""
    image = x = keras.Input((16, 16, 1))
    for i, count in enumerate((16, 24, 32)):  # BatchNorm's averages would mix the two inputs'
        x = layers.Conv2D(count, 3, strides=2 if i else 1, padding="same")(x)
        x = layers.LeakyReLU(0.1)(x)  # with ReLU one seed of three learns nothing
    encoder = keras.Model(image, layers.Dense(16)(layers.GlobalAveragePooling2D()(x)))
    pair = {name: keras.Input((16, 16, 1), name=name) for name in ("first", "second")}
    first, second = map(encoder, pair.values())
    x = layers.Concatenate()([layers.Multiply()([first, second]), first, second])
    x = layers.Dense(32, activation="relu")(x)
    net = keras.Model(pair, layers.Dense(1, activation="sigmoid")(x))

    def data(rng, count):
        images, _, kinds, _, _ = _images(rng, 4 * count)
        by_kind = [np.flatnonzero(kinds == kind) for kind in range(3)]
        same = rng.integers(0, 2, count)
        one = rng.integers(0, 3, count)
        other = np.where(same, one, (one + rng.integers(1, 3, count)) % 3)
        first, second = ([rng.choice(by_kind[kind]) for kind in part] for part in (one, other))
        inputs = {"first": images[first], "second": 4 * images[second]}
        return inputs, same.astype("float32")[:, None]

    return net, data, "binary_crossentropy", lambda y, found: np.mean((found > 0.5) != y)


def sequence():
    """Amplitude and period of a wave in noise, by attention over its steps."""
    steps = keras.Input((24, 2))
    x = layers.Dense(16, activation="relu")(steps)
    x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(2, 8)(x, x)]))
    x = layers.Conv1D(24, 5, strides=2, activation="relu")(x)
    net = keras.Model(steps, layers.Dense(2)(layers.GlobalAveragePooling1D()(x)))

    def data(rng, count):
        time = np.linspace(0, 1, 24)
        size, waves = rng.uniform(0.5, 2, (count, 1)), rng.uniform(1, 4, (count, 1))
        phase = rng.uniform(0, 2 * np.pi, (count, 1))
        angle = 2 * np.pi * waves * time + phase
        x = np.stack([size * np.sin(angle), size * np.cos(angle)], axis=-1)
        x = x + rng.normal(0, 0.1, x.shape)
        return x.astype("float32"), np.hstack([size, waves]).astype("float32")

    return net, data, "mse", _rmse


def two_heads():
    """The shape's kind, and its area in pixels, about a hundred times as large."""
    image = keras.Input((16, 16, 1))
    x = layers.GlobalAveragePooling2D()(_features(image))
    outputs = [
        layers.Dense(3, name="kind")(x),
        layers.Dense(1, name="area")(layers.Dense(16, activation="relu")(x)),
    ]

    def data(rng, count):
        images, masks, kinds, _, _ = _images(rng, count)
        return images, [kinds, masks.sum(axis=(1, 2)).astype("float32")]

    def cross_entropy(y, logits):
        return keras.losses.sparse_categorical_crossentropy(y, logits, from_logits=True)

    def error(y, found):
        kind, area = [found[name] for name in sorted(found)] if isinstance(found, dict) else found
        return np.mean(kind.argmax(-1) != y[0]) + _rmse(y[1], area) / 10

    return keras.Model(image, outputs), data, [cross_entropy, "mse"], error


def super_resolution():
    """Twice the height and width, the image added to what the net makes; the root of the mse."""
    image = keras.Input((8, 8, 1))
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(image)
    x = layers.Conv2D(16, 3, padding="same", activation="relu")(x)
    x = layers.Conv2DTranspose(1, 4, strides=2, padding="same")(x)
    net = keras.Model(image, layers.Add()([x, layers.UpSampling2D()(image)]))

    def data(rng, count):
        images, masks, *_ = _images(rng, count)
        images = masks * 2 + images / 4
        small = np.asarray(ops.average_pool(images, 2))
        return small, images

    return net, data, "mse", _rmse


TASKS: dict[str, Callable] = {
    task.__name__: task
    for task in (
        classification,
        offset,
        heavy_tails,
        boxes,
        segmentation,
        autoencoder,
        siamese,
        sequence,
        two_heads,
        super_resolution,
    )
}


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="__array__")
    main()

"""Worker of benchmarks/pruning.py: trains one net of one seed to several sparsities, in one engine.

    python benchmarks/pruning_cells.py edgekit lenet_300_100 --seed 0 --targets base,0,80,2:4 \
        --weights weights

`base` trains the dense net that all others start from and leaves it in the folder `--weights`; it
teaches the targets that are `taught`. `0` trains it on as the pruned ones are, without pruning. A
line of JSON per target goes to stdout.
"""

import json
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import click
import numpy as np
from figures import data_folder
from lenets import lenet_5, lenet_300_100, mnist
from pruning_engines import ENGINES, Target
from resnet8 import augmented, cifar10


@dataclass(frozen=True)
class Recipe:
    """How a net is trained: Adam, cosine decay, and a cubic schedule of mask updates.

    Attributes:
        net: Makes the net with a given Keras.
        data: `(x_train, y_train, x_test, y_test)`.
        batches: Of `(x, y, batch, seed)`, a tf.data set.
        base_epochs: Epochs of the dense training that comes first.
        base_rate: Its first learning rate.
        epochs: Epochs of each training after it.
        rate: Their first learning rate.
        batch: Batch size of all of them.
        every: Steps between two mask updates.
        ramp: Share of the steps after which the last update comes.
        convert: Whether accuracy is measured in LiteRT too.
    """

    net: Callable
    data: Callable
    batches: Callable
    base_epochs: int
    base_rate: float
    epochs: int
    rate: float
    batch: int = 128
    every: int = 20
    ramp: float = 0.6
    convert: bool = False


def shuffled(x, y, batch: int, seed: int):
    """A tf.data set that is shuffled anew in each epoch."""
    import tensorflow as tf

    data = tf.data.Dataset.from_tensor_slices((x, y)).shuffle(len(x), seed=seed)
    return data.batch(batch).prefetch(2)


def pretrained_resnet8(keras):
    """MLPerf Tiny's ResNet-8 with its weights, for pixels in 0 to 255."""
    path = data_folder() / "mlperf_tiny" / "resnet8.h5"
    return keras.models.load_model(path, compile=False)


def cifar10_bytes() -> tuple:
    """CIFAR-10 with pixels in 0 to 255."""
    x, y, x_test, y_test = cifar10()
    return 255 * x, y.astype("int32"), 255 * x_test, y_test.astype("int32")


def _resnet8(epochs: int, rate: float) -> Recipe:
    return Recipe(
        pretrained_resnet8,
        cifar10_bytes,
        augmented,
        base_epochs=2,
        base_rate=5e-4,
        epochs=epochs,
        rate=rate,
        batch=32,
        ramp=0.35,
        convert=True,
    )


RECIPES = {
    "lenet_300_100": Recipe(lenet_300_100, mnist, shuffled, 6, 1e-3, 6, 1e-3),
    "lenet_5": Recipe(lenet_5, mnist, shuffled, 3, 1e-3, 3, 1e-3),
    # Small batches: the same images in more steps. A long ramp costs accuracy here.
    "resnet8": _resnet8(epochs=2, rate=1e-3),
    # At that rate the dense net itself loses a point in twelve epochs.
    "resnet8_long": _resnet8(epochs=12, rate=5e-4),
    "resnet8_longer": _resnet8(epochs=30, rate=5e-4),
}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.argument("net", type=click.Choice(list(RECIPES)))
@click.option("--seed", default=0, show_default=True)
@click.option("--targets", default="base,0,80", show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), required=True)
def main(engine, net, seed, targets, weights):
    """Train the net to each target in turn."""
    engine, recipe = ENGINES[engine](), RECIPES[net]
    path = weights / f"{net}_{seed}.npz"
    data = recipe.data()
    for target in targets.split(","):
        start = time.perf_counter()
        engine.keras.utils.set_random_seed(seed)
        model = recipe.net(engine.keras)
        if target == "base":
            _fit(engine, model, recipe, data, seed, recipe.base_epochs, recipe.base_rate)
            np.savez(path, *model.get_weights())
        else:
            model.set_weights(_stored(path))
            model = _tune(engine, model, recipe, data, seed, target, path)
        found = {"target": target, **_figures(engine, model, data[2:], recipe.convert)}
        found["seconds"] = round(time.perf_counter() - start, 1)
        print(json.dumps(found), flush=True)


def _tune(engine, model, recipe, data, seed, text, path):
    if text == "0":
        _fit(engine, model, recipe, data, seed, recipe.epochs, recipe.rate)
        return model
    target = Target.parse(text)
    steps = recipe.epochs * -(-len(data[0]) // recipe.batch)
    end = int(recipe.ramp * steps) // recipe.every * recipe.every
    model, callbacks = engine.prune(model, target, end, recipe.every)
    trained = model
    if target.taught:
        teacher = recipe.net(engine.keras)
        teacher.set_weights(_stored(path))
        trained = engine.taught(model, teacher)
    _fit(engine, trained, recipe, data, seed, recipe.epochs, recipe.rate, callbacks)
    return engine.finish(model)


def _fit(engine, model, recipe, data, seed, epochs, rate, callbacks=()) -> None:
    keras = engine.keras
    x, y = data[:2]
    steps = epochs * -(-len(x) // recipe.batch)
    optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
    model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy())
    batches = recipe.batches(x, y, recipe.batch, seed)
    model.fit(batches, epochs=epochs, callbacks=list(callbacks), verbose=0)


def _stored(path) -> list:
    with np.load(path) as stored:
        return [stored[name] for name in stored.files]


def _figures(engine, model, test, convert) -> dict:
    x, y = test
    kernels = [values for values in model.get_weights() if values.ndim > 1]
    zeros = sum(int(np.count_nonzero(kernel == 0)) for kernel in kernels)
    found = {
        "accuracy": _accuracy(model.predict(x, batch_size=500, verbose=0), y),
        "sparsity": zeros / sum(kernel.size for kernel in kernels),
        "most_of_four": max(_most_of_four(kernel) for kernel in kernels),
    }
    for name, file in (engine.files(model) if convert else {}).items():
        found[name] = {"accuracy": _accuracy(file.predict(x), y), "bytes": file.size}
    return found


def _accuracy(scores, y) -> float:
    return float(np.mean(scores.argmax(-1) == y))


def _most_of_four(kernel) -> int:
    """The most weights that are not zero among four neighbours along the input channels."""
    rows = np.moveaxis(kernel != 0, -2, -1)
    rows = np.pad(rows, [(0, 0)] * (rows.ndim - 1) + [(0, -rows.shape[-1] % 4)])
    return int(rows.reshape(-1, 4).sum(axis=1).max())


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*shuffle=True")
    main()

"""Worker of benchmarks/pruning.py: what pruning adds to a step of `fit`, for one engine.

    python benchmarks/pruning_steps.py edgekit --rounds 8

The same net trains plain, with a mask update per 100 steps, and with one at every step.
"""

import json

import click
import numpy as np
from fit_turns import length, time_fits
from pruning_engines import ENGINES, Target
from resnet8 import resnet8

BATCH = 32
VARIANTS = {"plain": None, "every 100 steps": 100, "every step": 1}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.option("--rounds", default=8, show_default=True)
def main(engine, rounds):
    """Time the variants in turn and print JSON."""
    engine = ENGINES[engine]()
    keras = engine.keras
    keras.utils.set_random_seed(0)
    fits = {}
    for name, every in VARIANTS.items():
        model, callbacks = resnet8(keras), []
        if every:
            model, callbacks = engine.prune(model, Target(0.8), length(rounds) - 1, every)
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(keras.optimizers.Adam(1e-3), loss)
        fits[name] = (model, callbacks)
    print(json.dumps(time_fits(keras, fits, batches(), rounds)))


def batches():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * 20, 32, 32, 3), "float32")
    y = rng.integers(0, 10, len(x))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)
    return data.cache().repeat()


if __name__ == "__main__":
    main()

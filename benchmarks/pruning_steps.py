"""Worker of benchmarks/pruning.py: what pruning adds to a step of `fit`, for one engine.

    python benchmarks/pruning_steps.py edgekit --rounds 6

In a round the same net trains three times with `fit`: plain, with a mask update per 100 steps, and
with one at every step, in an order that turns each round. Timed are the steps between the tracing
at the start of a fit and its last step, with all that callbacks do between them.
"""

import json
import statistics
import time

import click
import numpy as np
from pruning_engines import ENGINES
from resnet8 import resnet8

BATCH, STEPS, WARM_UP = 32, 200, 10
VARIANTS = {"plain": None, "every 100 steps": 100, "every step": 1}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.option("--rounds", default=6, show_default=True)
def main(engine, rounds):
    """Time the variants in turn and print JSON."""
    engine = ENGINES[engine]()
    keras = engine.keras
    keras.utils.set_random_seed(0)
    data = _data()
    length = WARM_UP + STEPS + 1
    fits = {}
    for name, every in VARIANTS.items():
        model, callbacks = resnet8(keras), []
        if every:
            # Active to the end of the fit, or of all of them.
            end = length * (rounds + 1 if engine.counts_over_fits else 1) - 1
            model, callbacks = engine.prune(model, 0.8, end, every)
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(keras.optimizers.Adam(1e-3), loss)
        fits[name] = model, callbacks
    seconds = {name: [] for name in fits}
    order = list(fits)
    for number in range(rounds + 1):
        for name in order:
            model, callbacks = fits[name]
            clock = _clock(keras)
            model.fit(
                data, steps_per_epoch=length, epochs=1, callbacks=[clock, *callbacks], verbose=0
            )
            if number:  # the first is a rehearsal
                seconds[name].append(clock.seconds)
        order = order[1:] + order[:1]
    print(json.dumps(_figures(seconds)))


def _figures(seconds) -> dict:
    found = {"step_ms": {n: 1000 * statistics.median(s) / STEPS for n, s in seconds.items()}}
    for name in VARIANTS:
        pairs = zip(seconds[name], seconds["plain"], strict=True)
        found[name] = [round(pruned / plain, 4) for pruned, plain in pairs]
    return found


def _clock(keras):
    class Clock(keras.callbacks.Callback):
        """Seconds from the begin of one batch to that of another: whole steps, no tracing."""

        def on_train_batch_begin(self, batch, logs=None):
            if batch == WARM_UP:
                self._start = time.perf_counter()
            elif batch == WARM_UP + STEPS:
                self.seconds = time.perf_counter() - self._start

    return Clock()


def _data():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * 20, 32, 32, 3), "float32")
    y = rng.integers(0, 10, len(x))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)
    return data.cache().repeat()


if __name__ == "__main__":
    main()

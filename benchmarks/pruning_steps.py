"""Worker of benchmarks/pruning.py: what pruning adds to a step of `fit`, for one engine.

    python benchmarks/pruning_steps.py edgekit --rounds 8

The same net trains with `fit` three times at once, in three threads of which one runs at a time:
plain, with a mask update per 100 steps, and with one at every step. Turns are ten steps long and
in an order that changes, so that what else the machine does slows all three alike. Timed are whole
steps with all that `fit` and callbacks do between them, but no tracing. A round is 100 steps of
each.
"""

import json
import random
import statistics
import threading
import time

import click
import numpy as np
from pruning_engines import ENGINES, Target
from resnet8 import resnet8

BATCH, TURN, ROUND = 32, 10, 100
VARIANTS = {"plain": None, "every 100 steps": 100, "every step": 1}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.option("--rounds", default=8, show_default=True)
def main(engine, rounds):
    """Time the variants in turn and print JSON."""
    engine = ENGINES[engine]()
    keras = engine.keras
    keras.utils.set_random_seed(0)
    # Before the rounds come a turn to trace in and one to settle; after them one to stop in.
    length = rounds * ROUND + 3 * TURN
    turns = _Turns(list(VARIANTS), length // TURN)
    threads, clocks = [], {}
    for name, every in VARIANTS.items():
        model, callbacks = resnet8(keras), []
        if every:
            model, callbacks = engine.prune(model, Target(0.8), length - 1, every)
        loss = keras.losses.SparseCategoricalCrossentropy()
        model.compile(keras.optimizers.Adam(1e-3), loss)
        clocks[name] = _clock(keras, turns, name)
        settings = {"steps_per_epoch": length, "epochs": 1, "verbose": 0}
        settings["callbacks"] = [clocks[name], *callbacks]
        threads.append(threading.Thread(target=_fit, args=(turns, name, model, settings)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    print(json.dumps(_figures(clocks, rounds)))


class _Turns:
    """Who may run: each name once per cycle, in a new order each time."""

    def __init__(self, names, cycles):
        chance = random.Random(0)
        self._order = [n for _ in range(cycles) for n in chance.sample(names, len(names))]
        self._changed = threading.Condition()

    def wait(self, name) -> None:
        with self._changed:
            self._changed.wait_for(lambda: not self._order or self._order[0] == name)

    def give_up(self) -> None:
        with self._changed:
            self._order.pop(0)
            self._changed.notify_all()

    def leave(self, name) -> None:
        with self._changed:
            self._order = [other for other in self._order if other != name]
            self._changed.notify_all()


def _fit(turns, name, model, settings) -> None:
    data = _data()
    turns.wait(name)
    try:
        model.fit(data, **settings)
    finally:
        turns.leave(name)


def _clock(keras, turns, name):
    class Clock(keras.callbacks.Callback):
        """Seconds of each turn, from the begin of its first batch to that of the next turn's.

        `wall` is what a clock shows, `cpu` what the process spends on all cores together.
        """

        def __init__(self):
            super().__init__()
            self.wall, self.cpu = [], []

        def on_train_batch_begin(self, batch, logs=None):
            if batch % TURN:
                return
            if batch:
                self.wall.append(time.perf_counter() - self._wall)
                self.cpu.append(time.process_time() - self._cpu)
                turns.give_up()
                turns.wait(name)
            self._wall, self._cpu = time.perf_counter(), time.process_time()

    return Clock()


def _figures(clocks, rounds) -> dict:
    found = {}
    for clock in ("wall", "cpu"):
        seconds = {
            name: np.reshape(getattr(timed, clock)[2:], (rounds, ROUND // TURN)).sum(axis=1)
            for name, timed in clocks.items()
        }
        found[clock] = {
            "step_ms": {
                n: round(1000 * statistics.median(s) / ROUND, 2) for n, s in seconds.items()
            },
            **{
                name: [round(float(ratio), 4) for ratio in seconds[name] / seconds["plain"]]
                for name, every in VARIANTS.items()
                if every
            },
        }
    return found


def _data():
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * 20, 32, 32, 3), "float32")
    y = rng.integers(0, 10, len(x))
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True)
    return data.cache().repeat()


if __name__ == "__main__":
    main()

"""What callbacks or wrappers add to a step of `fit`: several fits at once, in turns.

The nets train with `fit` at the same time, in threads of which one runs at a time. Turns are ten
steps long and in an order that changes, so that what else the machine does slows all alike. Timed
are whole steps with all that `fit` and callbacks do between them, but no tracing. A round is 100
steps of each.
"""

import random
import statistics
import threading
import time

import numpy as np

TURN, ROUND = 10, 100
# Before the rounds come a turn to trace in and one to settle; after them one to stop in.
_MORE = 3


def length(rounds: int) -> int:
    """Steps of each fit."""
    return rounds * ROUND + _MORE * TURN


def time_fits(keras, fits: dict, data, rounds: int) -> dict:
    """Time of each fit's steps, and their ratio to those of the first, by wall clock and in CPU.

    Args:
        keras: Keras 3 or tf_keras.
        fits: `{name: (compiled model, callbacks)}`, what the others are compared with first.
        data: A tf.data set of batches that never ends.
        rounds: How many.

    Returns:
        `{"wall": {"step_ms": {name: milliseconds}, name: [a ratio per round]}, "cpu": …}`.
    """
    turns = _Turns(list(fits), length(rounds) // TURN)
    threads, clocks = [], {}
    for name, (model, callbacks) in fits.items():
        clocks[name] = _clock(keras, turns, name)
        settings = {"steps_per_epoch": length(rounds), "epochs": 1, "verbose": 0}
        settings["callbacks"] = [clocks[name], *callbacks]
        threads.append(threading.Thread(target=_fit, args=(turns, name, model, data, settings)))
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return _figures(clocks, rounds)


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


def _fit(turns, name, model, data, settings) -> None:
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
    plain, *others = clocks
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
                name: [round(float(ratio), 4) for ratio in seconds[name] / seconds[plain]]
                for name in others
            },
        }
    return found

"""Lottery tickets in LeNet-300-100 on MNIST, beside the same masks on new random weights.

    EDGEKIT_DATA=data python benchmarks/lottery_ticket.py \
        --out benchmarks/results/lottery_ticket.json

One `fit` with `ek.LotteryTicket` per seed takes a fifth of what is left in each round. Controls
are then trained at some of the rounds: the round's masks over fresh weights from the layers' own
initializers, with the same optimizer, for as many epochs. Test accuracies are those after the
first epoch of a training, after its best and after its last one. Seeds that the JSON has already
are not run again; the plot goes beside it. The setting is that of Frankle & Carbin 2018, arXiv
1803.03635 (Adam 1.2e-3, batches of 60), with fewer epochs and the output layer pruned as the
others are.
"""

import json
import os
import platform
import statistics
import time
from pathlib import Path

import click
import numpy as np
from figures import save
from lenets import lenet_300_100, mnist

RATE, BATCH, SHARE = 1.2e-3, 60, 0.2
MEASURES = ("first epoch", "best epoch", "last epoch")


@click.command()
@click.option("--seeds", default=3, show_default=True, help="Nets that are searched.")
@click.option("--rounds", default=15, show_default=True, help="Rounds of pruning.")
@click.option("--epochs", default=4, show_default=True, help="Of each training.")
@click.option(
    "--controls", default="3,7,11,15", show_default=True, help="Rounds that get a control."
)
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(seeds, rounds, epochs, controls, out):
    """Search, train controls, compare, plot."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    controls = [int(number) for number in controls.split(",")]
    settings = {"rounds": rounds, "epochs": epochs, "controls": controls}
    settings |= {"batch": BATCH, "rate": RATE}
    found = _stored(out, settings)
    data = mnist()
    for seed in range(seeds):
        if str(seed) not in found:
            found[str(seed)] = _search(seed, data, rounds, epochs, controls)
        summary = _summarise(found)
        if out:
            _write(out, {"model": "LeNet-300-100", "data": "MNIST", "settings": settings}, found)
            _plot(summary, out.with_suffix(".png"))
    for weights, figures in summary.items():
        print(weights, json.dumps(figures))


def _search(seed, data, rounds, epochs, controls) -> dict:
    import keras

    import edgekit as ek

    keras.utils.set_random_seed(seed)
    model = _compiled(keras)
    ticket = ek.LotteryTicket(1 - (1 - SHARE) ** rounds, rounds=rounds)
    history = _history(keras, ticket)
    start = time.perf_counter()
    _fit(model, data, (rounds + 1) * epochs, [ticket, history])
    print(f"seed {seed}: searched in {time.perf_counter() - start:.0f} s", flush=True)
    curves = np.reshape(history.accuracies, (rounds + 1, epochs))
    found = {"tickets": [], "controls": []}
    for done, curve in enumerate(curves):
        found["tickets"].append(_figures(done, ticket.rounds[done].sparsity, curve))
    for done in controls:
        # The last round's masks are the ticket's own; earlier ones were noted on the way.
        keras.utils.set_random_seed(1000 + seed)
        fresh = _compiled(keras)
        for kernel, mask in zip(_kernels(fresh), history.masks[done], strict=True):
            kernel.assign(kernel * mask)
        sparsity = float(np.mean(np.concatenate([~mask.ravel() for mask in history.masks[done]])))
        log = _fit(fresh, data, epochs, [ek.KeepSparsity()]).history["val_accuracy"]
        found["controls"].append(_figures(done, sparsity, log))
        print(f"seed {seed}: {found['tickets'][done]} against {log}", flush=True)
    found |= _again(ek, model, ticket, data, epochs, seed)
    return found


def _again(ek, model, ticket, data, epochs, seed) -> dict:
    """The last ticket and its control once more, as a user would train them after the search."""
    curves = {}
    for name, put in (("rewound", ticket.rewind), ("reinitialised", None)):
        put() if put else ticket.reinitialize(2000 + seed)
        log = _fit(model, data, epochs, [ek.KeepSparsity()]).history["val_accuracy"]
        curves[name] = _figures(len(ticket.rounds) - 1, ticket.rounds[-1].sparsity, log)
    print(f"seed {seed}: {curves}", flush=True)
    return curves


def _history(keras, ticket):
    """A callback that notes each epoch's test accuracy and each round's masks."""

    class History(keras.callbacks.Callback):
        def __init__(self):
            super().__init__()
            self.accuracies, self.masks = [], []

        def on_epoch_begin(self, epoch, logs=None):
            if len(ticket.rounds) == len(self.masks):
                self.masks.append(list(ticket.masks.values()))

        def on_epoch_end(self, epoch, logs=None):
            self.accuracies.append(logs["val_accuracy"])

    return History()


def _compiled(keras):
    model = lenet_300_100(keras)
    loss = "sparse_categorical_crossentropy"
    model.compile(keras.optimizers.Adam(RATE), loss, metrics=["accuracy"])
    return model


def _kernels(model) -> list:
    return [layer.kernel for layer in model.layers if hasattr(layer, "kernel")]


def _fit(model, data, epochs, callbacks):
    x, y, x_test, y_test = data
    return model.fit(
        x,
        y,
        batch_size=BATCH,
        epochs=epochs,
        validation_data=(x_test, y_test),
        validation_batch_size=1000,
        callbacks=callbacks,
        verbose=0,
    )


def _figures(done, sparsity, curve) -> dict:
    values = (curve[0], max(curve), curve[-1])
    return {
        "round": done,
        "weights_left": round(1 - float(sparsity), 5),
        **{name: round(float(v), 4) for name, v in zip(MEASURES, values, strict=True)},
    }


def _summarise(found) -> dict:
    """`{weights left: {kind: {measure: [mean, deviation]}}}` over the seeds."""
    summary = {}
    for kind in ("tickets", "controls"):
        for rows in zip(*(seed[kind] for seed in found.values()), strict=True):
            figures = {"round": rows[0]["round"]}
            for measure in MEASURES:
                values = [row[measure] for row in rows]
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                figures[measure] = [round(statistics.mean(values), 5), round(spread, 5)]
            summary.setdefault(f"{rows[0]['weights_left']:.1%}", {})[kind] = figures
    return summary


def _stored(out, settings) -> dict:
    if out is None or not out.exists():
        return {}
    report = json.loads(out.read_text())
    return report["seeds"] if report["settings"] == settings else {}


def _write(out, report, found) -> None:
    report = report | {"python": platform.python_version(), "summary": _summarise(found)}
    save(report | {"seeds": found}, out)


def _plot(summary, path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.6), layout="constrained")
    for axes, measure in zip(figure.subplots(1, 2), (MEASURES[0], MEASURES[2]), strict=True):
        for kind, label in (("tickets", "winning ticket"), ("controls", "reinitialised")):
            rows = [(w, f[kind][measure]) for w, f in summary.items() if kind in f]
            left = [float(weights.rstrip("%")) for weights, _ in rows]
            means, spreads = (np.array([100 * v[i] for _, v in rows]) for i in (0, 1))
            axes.errorbar(left, means, spreads, marker="o", ms=3, capsize=2, label=label)
        axes.set(xscale="log", xlabel="weights left [%]", ylabel="test accuracy [%]")
        axes.set_title(f"after the {measure}", fontsize=10)
        axes.set_xticks([100, 50, 20, 10, 5, 3.6], ["100", "50", "20", "10", "5", "3.6"])
        axes.minorticks_off()
        axes.invert_xaxis()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=90)


if __name__ == "__main__":
    main()

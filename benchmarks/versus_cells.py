"""Worker of benchmarks/versus_tfmot.py: one net of one seed through one engine.

    python benchmarks/versus_cells.py edgekit lenet_5 --seed 0 --cells "base,float,QAT" --weights w

`base` trains the dense net that all others start from, of both engines, and leaves it in the folder
`--weights`. A line of JSON per cell goes to stdout.
"""

import gzip
import json
import time
import warnings
from pathlib import Path

import click
import numpy as np
from lenets import lenet_5, mnist
from pruning_cells import RECIPES, cifar10_bytes, pretrained_resnet8, shuffled
from resnet8 import augmented
from versus_engines import ENGINES

import edgekit as ek

NETS = {
    "lenet_5": (lenet_5, mnist, shuffled),
    "resnet8": (pretrained_resnet8, cifar10_bytes, augmented),
}
# Epochs of each training after the dense one, their first rate, and the batch.
# TFMOT's ranges need a thousand steps: these are 1,407 each.
TUNING = {"lenet_5": (3, 5e-4, 128), "resnet8": (1, 5e-4, 32)}
SAMPLES = 300
CELLS = (
    "float",
    "QAT",
    "prune 50",
    "prune 80",
    "prune 90",
    "cluster 16",
    "cluster 32",
    "PQAT 80",
    "CQAT 16",
)
# What a cell goes on from.
_AFTER = {"PQAT": "prune", "CQAT": "cluster"}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.argument("net", type=click.Choice(list(NETS)))
@click.option("--seed", default=0, show_default=True)
@click.option("--cells", default=",".join(CELLS), show_default=True)
@click.option("--weights", type=click.Path(path_type=Path), required=True)
@click.option("--quick", is_flag=True, help="Few samples: a test that it runs.")
def main(engine, net, seed, cells, weights, quick):
    """Train the net in each way in turn."""
    run = Run(ENGINES[engine](), net, seed, weights, quick)
    for cell in cells.split(","):
        start = time.perf_counter()
        found = run.base() if cell == "base" else run.cell(cell)
        found["seconds"] = round(time.perf_counter() - start, 1)
        print(json.dumps({"cell": cell, **found}), flush=True)


class Run:
    """One net of one seed in one engine.

    Args:
        engine: Of versus_engines.
        net: Its name.
        seed: Of weights and of the order of samples.
        weights: Folder in which nets are left for others to go on from.
        quick: Whether few samples are enough.
    """

    def __init__(self, engine, net: str, seed: int, weights: Path, quick: bool):
        self.engine, self.net, self.seed, self.weights = engine, net, seed, weights
        self.make, data, self.batches = NETS[net]
        x, y, x_test, y_test = data()
        if quick:
            some = np.random.default_rng(seed).permutation(len(x))[:2000]
            x, y, x_test, y_test = x[some], y[some], x_test[:500], y_test[:500]
        self.train, self.test = (x, y), (x_test, y_test)
        self.epochs, self.rate, self.batch = TUNING[net]

    def base(self) -> dict:
        """Train the dense net."""
        model = self._fresh()
        recipe = RECIPES[self.net]
        self._fit(model, recipe.base_epochs, recipe.base_rate)
        self._store("base", model)
        return {"keras": self._accuracy(model)}

    def cell(self, name: str) -> dict:
        """Train the net in the way of that name, and convert it to int8."""
        kind, _, number = name.partition(" ")
        model = self._fresh(self._source(kind, number))
        trained, callbacks = self._compressed(model, kind, number)
        self._fit(trained, self.epochs, self.rate, callbacks)
        samples = None
        if kind not in ("QAT", *_AFTER):
            trained = self.engine.strip(trained) if kind != "float" else trained
            self._store(f"{self.engine.name} {name}", trained)
            samples = self.train[0][:SAMPLES]
        found = {"keras": self._accuracy(trained)}
        file = self.engine.int8(trained, samples)
        report = ek.inspect(flatbuffer(file))
        found |= {
            "int8": self._file_accuracy(file),
            "bytes": len(file),
            "gzip": len(gzip.compress(file, 9, mtime=0)),
            "zeros": round(report.sparsity, 4),
            "float_ops": [op.name for op in report.float_islands],
            "most_values": max((w.distinct for w in report.weights if w.distinct), default=0),
        }
        if kind == "float":
            file = self.engine.float_file(trained)
            found |= {"float": self._file_accuracy(file), "float_bytes": len(file)}
        return found

    def _source(self, kind: str, number: str) -> Path:
        after = _AFTER.get(kind)
        return self._path(f"{self.engine.name} {after} {number}" if after else "base")

    def _compressed(self, model, kind: str, number: str) -> tuple:
        if kind == "QAT":
            return self.engine.quantize_aware(model)
        if kind == "prune":
            # No mask changes in the last part: the net gets used to what is left.
            schedule = ek.schedules.Polynomial(end=0.6, every=20)
            return self.engine.prune(model, int(number) / 100, schedule)
        if kind == "cluster":
            return self.engine.cluster(model, int(number))
        if kind in _AFTER:
            return self.engine.keep(model, kind)
        return model, []

    def _fresh(self, weights: Path | None = None):
        self.engine.keras.utils.set_random_seed(self.seed)
        model = self.make(self.engine.keras)
        if weights:
            with np.load(weights) as stored:
                model.set_weights([stored[name] for name in stored.files])
        return model

    def _fit(self, model, epochs, rate, callbacks=()) -> None:
        keras = self.engine.keras
        x, y = self.train
        steps = epochs * -(-len(x) // self.batch)
        optimizer = keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))
        model.compile(optimizer, keras.losses.SparseCategoricalCrossentropy())
        batches = self.batches(x, y, self.batch, self.seed)
        model.fit(batches, epochs=epochs, callbacks=list(callbacks), verbose=0)

    def _accuracy(self, model) -> float:
        x, y = self.test
        return float(np.mean(model.predict(x, batch_size=500, verbose=0).argmax(-1) == y))

    def _file_accuracy(self, content: bytes) -> float:
        x, y = self.test
        return float(np.mean(flatbuffer(content).predict(x).argmax(-1) == y))

    def _store(self, name: str, model) -> None:
        """Whole or not at all: a run that was stopped goes on from it."""
        path = self._path(name)
        partial = path.with_suffix(".part.npz")
        np.savez(partial, *model.get_weights())
        partial.replace(path)

    def _path(self, name: str) -> Path:
        return self.weights / f"{self.net}_{self.seed}_{name.replace(' ', '_')}.npz"


def flatbuffer(content: bytes):
    """A file's bytes, to be run and inspected."""
    from converters import Flatbuffer

    return Flatbuffer(content)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message=".*shuffle=True")
    main()

"""Deep Compression of the MNIST LeNets, beside the table of the paper, layer by layer.

    EDGEKIT_DATA=data python benchmarks/deep_compression.py --out deep_compression.json

Two settings for each net: `paper` keeps of each layer the share that Han et al. keep and gives its
weights as many bits as theirs; `edgekit` keeps fewer weights, wherever they matter, at 4 bits. A
size is that of the whole `.ekz` file: codebooks, biases, headers, and what else a `.tflite` holds.
Errors are counted on the 10,000 test digits by LiteRT, running the file that the `.ekz` unpacks to;
they should not be above the upper end of the 95 % Wilson interval of the net as it was before.

Each figure goes to the JSON at once, and figures that are there are not measured again.
"""

import json
import os
import platform
import time
from dataclasses import asdict, dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import click
import keras
import numpy as np
from figures import save
from lenets import lenet_5, lenet_300_100, mnist

import edgekit as ek
from converters.packed import unpack

# Han et al. 2015, arXiv 1510.00149, tables 2 and 3: what is kept, bits of a weight, the share of
# the original size after Huffman coding, in percent; then the rate of the whole net.
PAPER = {
    "lenet_300_100": {
        "hidden_1": (8, 6, 2.32),
        "hidden_2": (9, 6, 3.04),
        "classes": (26, 6, 12.70),
        "rate": 40,
        "errors": (164, 158),
    },
    "lenet_5": {
        "conv_1": (66, 8, 67.45),
        "conv_2": (12, 8, 5.28),
        "hidden": (8, 5, 2.45),
        "classes": (19, 5, 6.13),
        "rate": 39,
        "errors": (80, 74),
    },
}
NETS = {"lenet_300_100": lenet_300_100, "lenet_5": lenet_5}
BATCH = 128
# Weight decay lets go what no pixel ever feeds; the paper's nets have it too.
DECAY = {"lenet_300_100": 0.3, "lenet_5": 0.6}


@dataclass(frozen=True)
class Recipe:
    """How a net is trained and compressed.

    Attributes:
        epochs: Of the training before.
        sparsity: As in `ek.deep_compress`.
        bits: As there.
        stages: Epochs of its two stages.
        scope: As there.
    """

    epochs: int
    sparsity: float | dict
    bits: int | dict
    stages: tuple[int, int]
    scope: str = "layer"


def _paper(net: str, epochs: int, stages: tuple[int, int]) -> Recipe:
    layers = {
        name: row for name, row in PAPER[net].items() if isinstance(row, tuple) and len(row) == 3
    }
    sparsity = {name: 1 - kept / 100 for name, (kept, _, _) in layers.items()}
    bits = {name: bits for name, (_, bits, _) in layers.items()}
    return Recipe(epochs, sparsity, bits, stages)


RECIPES = {
    "lenet_300_100": {
        "paper": _paper("lenet_300_100", 16, (12, 5)),
        "edgekit": Recipe(16, 0.943, 4, (26, 8), "global"),
    },
    "lenet_5": {
        "paper": _paper("lenet_5", 8, (6, 3)),
        "edgekit": Recipe(8, 0.975, 4, (8, 3), "global"),
    },
}


@click.command()
@click.option("--net", "nets", multiple=True, type=click.Choice(list(NETS)), help="Nets to run.")
@click.option("--seeds", default=3, show_default=True, help="Nets of each kind.")
@click.option("--quick", is_flag=True, help="Two epochs of each stage: a test that it runs.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(nets, seeds, quick, out):
    """Compress what the JSON does not have yet, and print all of it."""
    report = json.loads(out.read_text()) if out and out.exists() else {"cells": {}}
    data = mnist()
    for net in nets or NETS:
        for seed in range(seeds):
            wanted = {s: f"{net}/{seed}/{s}" for s in RECIPES[net]}
            missing = [s for s, key in wanted.items() if key not in report["cells"]]
            if not missing:
                continue
            trained = _trained(net, seed, data, quick)
            for setting in missing:
                cell = _compressed(net, seed, setting, trained, data, quick)
                report["cells"][wanted[setting]] = cell
                _save(report, out)
                print(wanted[setting], json.dumps({k: cell[k] for k in SHOWN}), flush=True)
    print(table(report["cells"]))


SHOWN = ("errors_before", "most_errors", "errors", "bytes", "rate", "seconds")


def _trained(net, seed, data, quick):
    """`(weights, seconds)` of a dense net."""
    x, y = data[:2]
    keras.utils.set_random_seed(seed)
    model = NETS[net](keras)
    epochs = 2 if quick else next(iter(RECIPES[net].values())).epochs
    start = time.perf_counter()
    decay = keras.optimizers.schedules.CosineDecay(1e-3, epochs * -(-len(x) // BATCH))
    model.compile(keras.optimizers.AdamW(decay, DECAY[net]), "sparse_categorical_crossentropy")
    model.fit(x, y, batch_size=BATCH, epochs=epochs, verbose=0)
    return model.get_weights(), round(time.perf_counter() - start, 1)


def _compressed(net, seed, setting, trained, data, quick) -> dict:
    x, y, x_test, y_test = data
    weights, training_seconds = trained
    recipe = RECIPES[net][setting]
    keras.utils.set_random_seed(seed)
    model = NETS[net](keras)
    model.set_weights(weights)
    model.compile(keras.optimizers.AdamW(1e-3, DECAY[net]), "sparse_categorical_crossentropy")
    before = _errors(model.predict(x_test, batch_size=500, verbose=0), y_test)
    start = time.perf_counter()
    small = ek.deep_compress(
        model,
        x,
        y,
        sparsity=recipe.sparsity,
        bits=recipe.bits,
        epochs=(2, 2) if quick else recipe.stages,
        batch_size=BATCH,
        scope=recipe.scope,
        verbose=0,
    )
    seconds = round(time.perf_counter() - start, 1)
    file = unpack(small.packed.content)
    return {
        "errors_before": before,
        "most_errors": wilson_upper(before, len(y_test)),
        "errors": _errors(file.predict(x_test), y_test),
        "bytes": small.packed.size,
        "parameter_bytes": 4 * model.count_params(),
        "rate": round(small.ratio, 2),
        "rivals": small.packed.rivals,
        "layers": _layers(model, small.packed),
        "training_seconds": training_seconds,
        "seconds": seconds,
    }


def _errors(scores, y) -> int:
    return int(np.sum(scores.argmax(-1) != y))


def wilson_upper(errors: int, count: int, z: float = 1.959964) -> float:
    """The upper end of the 95 % Wilson interval, as a number of errors.

    Source: Wilson 1927, "Probable inference, the law of succession, and statistical inference".
    """
    share = errors / count
    middle = share + z**2 / (2 * count)
    half = z * np.sqrt(share * (1 - share) / count + z**2 / (4 * count**2))
    return round(float(count * (middle + half) / (1 + z**2 / count)), 1)


def _layers(model, packed) -> dict:
    """Of each layer: share kept, distinct values, packed bytes in percent of its kernel's."""
    found = {}
    for layer in model.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        values = np.asarray(kernel)
        size = next(
            c.packed_bytes for c in packed.constants if int(np.prod(c.shape)) == values.size
        )
        found[layer.name] = {
            "kept": round(100 * float(np.mean(values != 0)), 1),
            "distinct": len(np.unique(values)),
            "percent": round(100 * size / (4 * values.size), 2),
        }
    return found


def table(cells: dict) -> str:
    """The paper's columns beside ours: means over seeds."""
    lines = []
    for net, paper in PAPER.items():
        by_setting = {
            setting: [
                c
                for key, c in sorted(cells.items())
                if key.startswith(f"{net}/") and key.endswith(f"/{setting}")
            ]
            for setting in RECIPES[net]
        }
        if not all(by_setting.values()):
            continue
        lines.append(f"\n{net}: kept % / bits of a weight / size %")
        names = [name for name, row in paper.items() if name not in ("rate", "errors")]
        for name in names:
            kept, bits, percent = paper[name]
            row = f"  {name:9} Han et al. {kept:5.1f} / {bits} / {percent:5.2f}"
            for setting, found in by_setting.items():
                layer = [cell["layers"][name] for cell in found]
                kept, percent = (
                    np.mean([one[key] for one in layer]) for key in ("kept", "percent")
                )
                width = int(np.ceil(np.log2(max(one["distinct"] for one in layer))))
                row += f"   {setting} {kept:5.1f} / {width} / {percent:5.2f}"
            lines.append(row)
        before, after = paper["errors"]
        lines.append(f"  whole     Han et al. {paper['rate']}×, errors {before} → {after}")
        for setting, found in by_setting.items():
            rates = ", ".join(f"{cell['rate']:.1f}×" for cell in found)
            errors = ", ".join(
                f"{c['errors_before']} → {c['errors']} (at most {c['most_errors']})" for c in found
            )
            seconds = np.mean([cell["training_seconds"] + cell["seconds"] for cell in found])
            lines.append(f"  {setting}: {rates}; errors {errors}; {seconds:.0f} s with training")
    return "\n".join(lines)


def _save(report, out) -> None:
    recipes = {net: {s: asdict(r) for s, r in found.items()} for net, found in RECIPES.items()}
    whole = {"data": "MNIST", "python": platform.python_version(), "recipes": recipes}
    save({**whole, "cells": report["cells"]}, out)


if __name__ == "__main__":
    main()

"""Accuracy of ResNet-8 in float, after post-training int8, and after training for int8 and int4.

    python benchmarks/qat_accuracy.py --seeds 3 --out benchmarks/results/qat_accuracy.json

Each seed trains a float net, then trains it on for the same few epochs at the same small rate
three times: in float, for int8 and for int4. What is compared has had the same training.
Accuracies are those of Keras and of the LiteRT file on held-out images. LiteRT's converter has
no post-training int4, so that column rounds the float net's kernels to 4 bits without training
and keeps the rest as in int8.
"""

import platform
import statistics
import time
import warnings
from pathlib import Path

import click
import keras
import numpy as np
from figures import save
from resnet8 import augmented, cifar10, resnet8

import edgekit as ek

RATE, TUNING_RATE = 2e-3, 5e-4


@click.command()
@click.option("--seeds", default=3, show_default=True, help="How many nets.")
@click.option(
    "--images", default=25_000, show_default=True, help="Training images, 45,000 at most."
)
@click.option("--epochs", default=16, show_default=True, help="Epochs of float training.")
@click.option("--tune", default=5, show_default=True, help="Epochs of each second training.")
@click.option("--batch", default=128, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(seeds, images, epochs, tune, batch, out):
    """Train, quantise, convert, compare."""
    x, y, x_test, y_test = cifar10()
    x, y = x[:images], y[:images]
    rows = []
    for seed in range(seeds):
        rows.append(_run(seed, x, y, x_test, y_test, epochs, tune, batch))
        _report(rows)
        if out:
            settings = {"images": len(x), "epochs": epochs, "tune": tune, "batch": batch}
            _write(out, rows, {**settings, "test_images": len(x_test)})


def _run(seed, x, y, x_test, y_test, epochs, tune, batch) -> dict:
    keras.utils.set_random_seed(seed)
    base = resnet8()
    _fit(base, x, y, epochs, batch, seed, rate=RATE)
    row = {}

    def score(name, model=None, file=None):
        entry = row.setdefault(name, {})
        if model is not None:
            found = model.predict(x_test, batch_size=500, verbose=0)
            entry["keras"] = float(np.mean(found.argmax(-1) == y_test))
        if file is not None:
            found = file.predict(x_test)
            entry["litert"] = float(np.mean(found.argmax(-1) == y_test))
            entry["bytes"] = file.size
        print(f"seed {seed} {name}: {entry}", flush=True)

    tuned = ek.strip(base)
    _fit(tuned, x, y, tune, batch, seed, rate=TUNING_RATE)
    files = ek.convert(tuned, ["float32", "int8"], calibration=x[:500])
    score("float", tuned, files["float32"])
    score("PTQ int8", file=files["int8"])
    without_training = ek.quantize_aware(tuned, ek.QuantScheme(weight_bits=4))
    _calibrate(without_training, x[:500])
    score("PTQ int4", without_training, ek.convert(without_training, ["int4"])["int4"])
    for scheme in ("int8", "int4"):
        qat = ek.quantize_aware(base, scheme)
        start = time.perf_counter()
        _fit(qat, x, y, tune, batch, seed, rate=TUNING_RATE)
        row.setdefault(f"QAT {scheme}", {})["seconds"] = round(time.perf_counter() - start, 1)
        score(f"QAT {scheme}", qat, ek.convert(qat, [scheme])[scheme])
    return row


def _fit(model, x, y, epochs, batch, seed, rate) -> None:
    steps = epochs * -(-len(x) // batch)
    schedule = keras.optimizers.schedules.CosineDecay(rate, steps)
    model.compile(keras.optimizers.Adam(schedule), "sparse_categorical_crossentropy")
    model.fit(augmented(x, y, batch, seed), epochs=epochs, verbose=0)


def _calibrate(model, x) -> None:
    """Ranges from samples, with nothing else changed."""
    for layer in model.layers:
        if isinstance(layer, ek.quantization.QuantizedLayer):
            layer.freeze_statistics = True
    for start in range(0, len(x), 16):
        model(x[start : start + 16], training=True)


def _report(rows) -> None:
    for name in rows[0]:
        for where in ("keras", "litert"):
            values = [100 * row[name][where] for row in rows if where in row[name]]
            if values:
                spread = statistics.stdev(values) if len(values) > 1 else 0.0
                delta = [
                    v - 100 * row["float"]["keras"] for v, row in zip(values, rows, strict=True)
                ]
                print(
                    f"{name:10s} {where:7s} {statistics.mean(values):6.2f} ± {spread:.2f} %"
                    f"   against float {statistics.mean(delta):+.2f} points",
                    flush=True,
                )


def _write(out, rows, settings) -> None:
    found = {
        "model": "ResNet-8 (MLPerf Tiny)",
        "data": "CIFAR-10, JPEG-recompressed",
        "settings": settings,
        "python": platform.python_version(),
        "keras": keras.__version__,
        "seeds": rows,
    }
    save(found, out)


if __name__ == "__main__":
    warnings.filterwarnings("ignore", message="__array__")
    main()

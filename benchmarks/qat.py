"""What quantisation-aware training costs per step, beside TensorFlow Model Optimization (TFMOT).

    python benchmarks/qat.py --out benchmarks/results/qat.json

The same net, data and optimiser, in Keras 3 with edgekit and in tf_keras with TFMOT, each in
processes of its own. In a process, rounds of ten steps of the plain and of the quantisation-aware
model alternate; the figure is the median of the rounds' ratios. Also: how long wrapping and
converting take. Needs the extra `tfmot`.
"""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path

import click
from figures import save

ROUND = 10
BATCH = 64


@click.command()
@click.option("--rounds", default=30, show_default=True, help="Rounds of ten steps per process.")
@click.option("--processes", default=3, show_default=True, help="Processes per engine.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
@click.option("--worker", hidden=True)
def main(rounds, processes, out, worker):
    """Measure both engines in turn."""
    if worker:
        print(json.dumps(_measure(worker, rounds)))
        return
    found = {"edgekit": [], "tfmot": []}
    for number in range(processes):
        for engine in found:
            found[engine].append(_in_process(engine, rounds))
            print(f"{engine} {number + 1}/{processes}: {_line(found[engine][-1])}", flush=True)
    summary = {engine: _summarise(runs) for engine, runs in found.items()}
    for engine, figures in summary.items():
        print(f"{engine:8s} {_line(figures)}")
    report = {"host": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    report |= {"batch": BATCH, "steps_per_round": ROUND, "summary": summary, "runs": found}
    save(report, out)


def _in_process(engine, rounds) -> dict:
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    if engine == "tfmot":
        environment["TF_USE_LEGACY_KERAS"] = "1"
    command = [sys.executable, __file__, "--worker", engine, "--rounds", str(rounds)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{engine} failed:\n{done.stderr[-2000:]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def _measure(engine, rounds) -> dict:
    return _edgekit(rounds) if engine == "edgekit" else _tfmot(rounds)


def _edgekit(rounds):
    import keras

    import edgekit as ek

    keras.utils.set_random_seed(0)
    plain = _net(keras)
    start = time.perf_counter()
    qat = ek.quantize_aware(plain)
    wrap = time.perf_counter() - start
    ratios, steps = _alternate(keras, plain, qat, rounds)
    start = time.perf_counter()
    content = ek.convert(qat, ["int8"])["int8"].content
    return _figures(ratios, steps, wrap, time.perf_counter() - start, content)


def _tfmot(rounds):
    import tensorflow as tf
    import tensorflow_model_optimization as tfmot
    import tf_keras

    tf_keras.utils.set_random_seed(0)
    plain = _net(tf_keras)
    start = time.perf_counter()
    qat = tfmot.quantization.keras.quantize_model(_net(tf_keras))
    wrap = time.perf_counter() - start
    ratios, steps = _alternate(tf_keras, plain, qat, rounds)
    start = time.perf_counter()
    converter = tf.lite.TFLiteConverter.from_keras_model(qat)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    content = converter.convert()
    return _figures(ratios, steps, wrap, time.perf_counter() - start, content)


def _net(keras):
    """A CNN for 32×32×3 images: four convolutions with BatchNorm and ReLU."""
    layers = keras.layers
    x = image = keras.Input((32, 32, 3))
    for filters, stride in ((16, 1), (32, 2), (64, 2), (64, 1)):
        x = layers.Conv2D(filters, 3, strides=stride, padding="same", use_bias=False)(x)
        x = layers.ReLU()(layers.BatchNormalization()(x))
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(x)))


def _alternate(keras, plain, qat, rounds):
    """`(ratio per round, {model: milliseconds per step})`."""
    import numpy as np
    import tensorflow as tf

    rng = np.random.default_rng(0)
    x = rng.random((BATCH * ROUND, 32, 32, 3)).astype("float32")
    y = rng.integers(0, 10, BATCH * ROUND)
    data = tf.data.Dataset.from_tensor_slices((x, y)).batch(BATCH, drop_remainder=True).cache()
    run = {}
    for name, model in (("plain", plain), ("qat", qat)):
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.Adam(1e-3), loss)
        model.fit(data, verbose=0)  # which builds the train function
        run[name] = model.train_function
    seconds = {"plain": [], "qat": []}
    for number in range(rounds + 2):
        for name in ("plain", "qat") if number % 2 else ("qat", "plain"):
            batches = iter(data)  # one of TensorFlow's: a list's would be traced again
            start = time.perf_counter()
            for _ in range(ROUND):
                run[name](batches)
            if number >= 2:
                seconds[name].append(time.perf_counter() - start)
    ratios = [q / p for q, p in zip(seconds["qat"], seconds["plain"], strict=True)]
    return ratios, {n: 1000 * statistics.median(s) / ROUND for n, s in seconds.items()}


def _figures(ratios, steps, wrap, convert, content) -> dict:
    return {
        "step_ratio": round(statistics.median(ratios), 4),
        "step_ms": {name: round(ms, 3) for name, ms in steps.items()},
        "wrap_seconds": round(wrap, 3),
        "convert_seconds": round(convert, 2),
        "bytes": len(content),
        "ratios": [round(ratio, 4) for ratio in ratios],
    }


def _summarise(runs) -> dict:
    ratios = sorted(ratio for run in runs for ratio in run["ratios"])
    return {
        "step_ratio": round(statistics.median(ratios), 3),
        "step_ratio_quartiles": [round(q, 3) for q in statistics.quantiles(ratios, n=4)[::2]],
        "wrap_seconds": round(statistics.median(run["wrap_seconds"] for run in runs), 3),
        "convert_seconds": round(statistics.median(run["convert_seconds"] for run in runs), 2),
        "bytes": runs[0]["bytes"],
    }


def _line(figures) -> str:
    return (
        f"step {figures['step_ratio']:.3f} × plain, wrap {figures['wrap_seconds']:.2f} s, "
        f"convert {figures['convert_seconds']:.1f} s, {figures['bytes']:,} bytes"
    )


if __name__ == "__main__":
    main()

"""All formats of one model: edgekit's `convert` beside `tf.lite.TFLiteConverter` per format.

    python benchmarks/convert.py --out benchmarks/results/convert.json

MobileNetV2 for 96×96 images, with BatchNorm statistics of its input. `convert` makes all its
formats in one call, process start included; TensorFlow's converter is called once for each format
it knows, in a process that has TensorFlow loaded. Then the time a calibration sample takes, and
int8's signal to noise against Keras.
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

THEIRS = ("float32", "float16", "dynamic", "int8", "int16x8")
SAMPLES = 100
CALIBRATED = 300


@click.command()
@click.option("--rounds", default=3, show_default=True, help="Times that each side converts.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(rounds, out):
    """Measure both sides in turn."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from converters import FORMATS, convert

    model, samples, test = _model_and_data()
    seconds = {"edgekit": [], "tensorflow": []}
    for number in range(rounds):
        start = time.perf_counter()
        ours = convert(model, list(FORMATS), calibration=samples)
        seconds["edgekit"].append(time.perf_counter() - start)
        start = time.perf_counter()
        theirs = {name: _tensorflow(model, name, samples) for name in THEIRS}
        seconds["tensorflow"].append(time.perf_counter() - start)
        print(
            f"round {number + 1}: edgekit {seconds['edgekit'][-1]:.1f} s for {len(ours)} formats, "
            f"TensorFlow {seconds['tensorflow'][-1]:.1f} s for {len(theirs)}",
            flush=True,
        )
    ratios = [t / e for e, t in zip(seconds["edgekit"], seconds["tensorflow"], strict=True)]
    calibration = _calibration(ours["float32"].content)
    report = {
        "host": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "formats": {"edgekit": list(ours), "tensorflow": list(theirs)},
        "seconds": seconds,
        "times_faster": round(statistics.median(ratios), 2),
        "bytes": {n: {"edgekit": ours[n].size, "tensorflow": len(theirs[n])} for n in THEIRS},
        "more_bytes": {n: round(ours[n].size / len(theirs[n]) - 1, 4) for n in THEIRS},
        "all_bytes": {name: file.size for name, file in ours.items()},
        "decibel": _decibel(model, ours, theirs, test),
        "calibration_ms_per_sample": calibration,
        "calibration_times_faster": round(calibration["tensorflow"] / calibration["edgekit"], 2),
    }
    print(json.dumps({k: v for k, v in report.items() if k != "seconds"}, indent=1))
    save(report, out)


def _model_and_data():
    import keras

    keras.utils.set_random_seed(0)
    model = keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)
    rng = np.random.default_rng(0)
    images = _images(rng, 64 + SAMPLES + 200)
    norms = [v for v in model.layers if isinstance(v, keras.layers.BatchNormalization)]
    momenta = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 0.3
    for _ in range(12):
        model(images[:64], training=True)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    return model, images[64 : 64 + SAMPLES], images[64 + SAMPLES :]


def _images(rng, count):
    """Smooth noise, -1 to 1, of different contrast."""
    coarse = rng.normal(size=(count, 12, 12, 3)) * rng.uniform(0.2, 1.0, (count, 1, 1, 1))
    fine = np.repeat(np.repeat(coarse, 8, axis=1), 8, axis=2)
    fine += rng.normal(size=fine.shape) * 0.1
    return np.clip(fine, -1, 1).astype("float32")


def _tensorflow(model, name, samples) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    if name != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if name in ("int8", "int16x8"):
        converter.representative_dataset = lambda: ([x[None]] for x in samples)
        ops = tf.lite.OpsSet
        width = "TFLITE_BUILTINS_INT8"
        if name == "int16x8":
            width = "EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8"
        converter.target_spec.supported_ops = [getattr(ops, width)]
        kind = tf.int8 if name == "int8" else tf.int16
        converter.inference_input_type = converter.inference_output_type = kind
    return converter.convert()


def _calibration(content) -> dict[str, float]:
    """Milliseconds per sample: the calibrators alone, on the same float flatbuffer."""
    samples = _images(np.random.default_rng(1), CALIBRATED)
    from tensorflow.lite.python.optimize.calibrator import Calibrator

    from converters.calibration import measure_ranges
    from converters.reader import read_model

    (name,) = read_model(content).inputs
    found = {"edgekit": [], "tensorflow": []}
    for _ in range(5):
        start = time.perf_counter()
        measure_ranges(content, {name: samples})
        found["edgekit"].append(time.perf_counter() - start)
        start = time.perf_counter()
        Calibrator(content).calibrate(lambda: ([x[None]] for x in samples))
        found["tensorflow"].append(time.perf_counter() - start)
    return {
        side: round(1000 * statistics.median(values) / len(samples), 2)
        for side, values in found.items()
    }


def _decibel(model, ours, theirs, test) -> dict:
    from converters import Flatbuffer
    from converters.signal_to_noise import signal_to_noise

    expected = model.predict(test, verbose=0)
    found = {}
    for name in ("int8", "int16x8"):
        files = {"edgekit": ours[name], "tensorflow": Flatbuffer(theirs[name])}
        found[name] = {
            side: round(signal_to_noise(expected, file.predict(test)), 2)
            for side, file in files.items()
        }
    return found


if __name__ == "__main__":
    main()

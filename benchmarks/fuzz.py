"""Damaged files: what `inspect`, `predict` and `benchmark` make of them.

    EDGEKIT_DATA=data python benchmarks/fuzz.py --out benchmarks/results/fuzz.json

Each model is cut at every 1/200th of its length, and has one byte changed in each of 2,000
copies. An answer or an error is right; a crash of this process or a hang is not. Every other
byte is one that is not a weight, where damage does more.
"""

import json
import time
import warnings
from collections import Counter
from pathlib import Path

import click
import numpy as np
from figures import data_folder, save

MODELS = ("resnet8_int8", "resnet8_float", "kws_int8", "vww_int8", "ad01_float")


@click.command()
@click.option("--cuts", default=200, show_default=True, help="Parts each model is cut into.")
@click.option("--flips", default=2000, show_default=True, help="Changed bytes, over all models.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(cuts, flips, out):
    """Damage the models and count the answers."""
    from converters import Flatbuffer

    folder = data_folder() / "mlperf_tiny"
    files = [(folder / f"{name}.tflite").read_bytes() for name in MODELS]
    found = {kind: {call: Counter() for call in CALLS} for kind in ("cut", "flipped")}
    slowest = dict.fromkeys(CALLS, 0.0)
    rng = np.random.default_rng(0)
    jobs = [("cut", file, file[: len(file) * i // cuts]) for file in files for i in range(cuts)]
    for file in files:
        others = np.setdiff1d(np.arange(len(file)), _weight_bytes(file))
        for i in range(flips // len(files)):
            damaged = bytearray(file)
            damaged[rng.choice(others) if i % 2 else rng.integers(len(file))] ^= rng.integers(
                1, 256
            )
            jobs.append(("flipped", file, bytes(damaged)))
    for number, (kind, file, damaged) in enumerate(jobs, start=1):
        samples = _samples(Flatbuffer(file))
        for call, function in CALLS.items():
            start = time.perf_counter()
            found[kind][call][_answer(function, damaged, samples)] += 1
            slowest[call] = max(slowest[call], time.perf_counter() - start)
        if number % 100 == 0:
            print(f"{number} of {len(jobs)}: {_plain(found)} {slowest}", flush=True)
    report = {"models": MODELS, "answers": _plain(found), "slowest_seconds": slowest}
    print(json.dumps(report, indent=1))
    save(report, out)


def _inspect(content, samples):
    from converters import Flatbuffer, inspect

    report = inspect(Flatbuffer(content))
    report.to_dict(), report.summary(), report.tables()


def _predict(content, samples):
    from converters import Flatbuffer

    Flatbuffer(content).predict(samples)


def _benchmark(content, samples):
    from converters import Flatbuffer
    from device_bench import benchmark

    result = benchmark({"m": Flatbuffer(content)}, samples, processes=1, seconds=0.01)
    if result["m"].error:
        raise ValueError(result["m"].error)


CALLS = {"inspect": _inspect, "predict": _predict, "benchmark": _benchmark}


def _answer(function, content, samples) -> str:
    """`"answer"`, `"error"`, or the type of an exception that no user should see."""
    try:
        with warnings.catch_warnings(action="ignore"):
            function(content, samples)
    except ValueError as error:
        if "crashed" in str(error):
            return "error: native crash"
        return "error: no end" if "did not finish" in str(error) else "error"
    except Exception as error:
        return type(error).__name__
    return "answer"


def _samples(file):
    return {name: np.ones(shape, "float32") for name, shape in file.input_shapes.items()}


def _weight_bytes(content) -> np.ndarray:
    """Where the weights lie in the file."""
    from converters.reader import read_model

    parts = []
    for tensor in read_model(content).tensors:
        if tensor.data and len(tensor.data) > 64:
            start = content.find(tensor.data)
            parts.append(np.arange(start, start + len(tensor.data)))
    return np.concatenate(parts)


def _plain(found):
    return {kind: {call: dict(c) for call, c in calls.items()} for kind, calls in found.items()}


if __name__ == "__main__":
    main()

"""Kernels stored sparse: size and speed beside the same net stored dense.

    python benchmarks/sparse_files.py --out benchmarks/results/sparse_files.json

MobileNetV1 for 96×96 images in two versions, one as XNNPACK wants nets with sparse kernels and one
with padding="same", and four Dense layers. The smallest weights of pointwise and Dense kernels
are set to zero; nothing is trained. XNNPACK does not multiply by sparse kernels on x86 with AVX.
"""

import json
import os
import platform
import warnings
from pathlib import Path

import click
import numpy as np
from figures import save

ZEROS = (0.0, 0.7, 0.8, 0.9, 0.95)
FORMATS = ("float32", "int8")
KINDS = ("dense", "sparse")
SAMPLES = 16
WIDTH = 1024
_BLOCKS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2))
_BLOCKS += (*[(512, 1)] * 5, (1024, 2), (1024, 1))


@click.command()
@click.option("--rounds", default=5, show_default=True, help="Fresh processes for each file.")
@click.option("--seconds", default=0.4, show_default=True, help="Timed in each of them.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(rounds, seconds, out):
    """Measure all nets, each in both formats."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    nets = {
        "mobilenet for sparse kernels": lambda: _mobilenet(symmetric=True),
        "mobilenet, padding same": lambda: _mobilenet(symmetric=False),
        "dense layers": _dense_layers,
    }
    cases = []
    for name, build in nets.items():
        for case in _measured(build, rounds, seconds):
            cases.append({"net": name, **case})
            print(json.dumps(cases[-1]), flush=True)
    report = {
        "host": platform.processor() or platform.machine(),
        "avx": _has_avx(),
        "settings": {"rounds": rounds, "seconds": seconds, "batch": 1, "threads": 1},
        "cases": cases,
    }
    save(report, out)


def _measured(build, rounds, seconds) -> list[dict]:
    """One case per format and share of zeros; all files of a format are timed in turn."""
    import edgekit as ek
    from device_bench import benchmark

    pairs = {}
    for zeros in ZEROS:
        model = build()
        _prune(model, zeros)
        samples = np.random.default_rng(0).random((SAMPLES, *model.input_shape[1:]), "float32")
        with warnings.catch_warnings(action="ignore"):  # int8 is far from an untrained net
            both = [
                ek.convert(model, list(FORMATS), calibration=samples, sparse=sparse)
                for sparse in (False, True)
            ]
        pairs[zeros] = {name: [files[name] for files in both] for name in FORMATS}
    cases = []
    for name in FORMATS:
        files = {
            f"{kind} {zeros}": file
            for zeros, pair in pairs.items()
            for kind, file in zip(KINDS, pair[name], strict=True)
        }
        timed = benchmark(files, processes=rounds, seconds=seconds)
        for zeros, pair in pairs.items():
            ratio = timed.ratio(f"sparse {zeros}", f"dense {zeros}")
            cases.append(
                {
                    "format": name,
                    "zeros": zeros,
                    **_compared(*pair[name], samples),
                    "dense_ms": round(timed[f"dense {zeros}"].median_ms, 4),
                    "sparse_ms": round(timed[f"sparse {zeros}"].median_ms, 4),
                    "load_ms": [round(_load_ms(timed[f"{k} {zeros}"]), 1) for k in KINDS],
                    "time_ratio": [round(v, 3) for v in (ratio.value, ratio.low, ratio.high)],
                    "faster": "yes" if ratio.high < 1 else "no",
                }
            )
    return cases


def _load_ms(measurement) -> float:
    return measurement.load_ms + measurement.allocate_ms


def _compared(dense, sparse, samples) -> dict:
    """Sizes, how far outputs are apart, and what the sparse file says of itself."""
    expected, found = dense.predict(samples), sparse.predict(samples)
    return {
        "dense_bytes": dense.size,
        "sparse_bytes": sparse.size,
        "times_smaller": round(dense.size / sparse.size, 2),
        "largest_difference": float(np.abs(found - expected).max()),
        "largest_output": float(np.abs(expected).max()),
        "note": sparse.check.notes[-1],
    }


def _mobilenet(symmetric: bool):
    """MobileNetV1; `symmetric` has a row of zeros on each side where it strides."""
    import keras
    from keras import layers

    def strided(layer, h, **options):
        if symmetric:
            return layer(strides=2, **options)(layers.ZeroPadding2D(1)(h))
        return layer(strides=2, padding="same", **options)(h)

    keras.utils.set_random_seed(0)
    first = {"filters": 32, "kernel_size": 3, "kernel_initializer": "he_normal"}
    nine = keras.initializers.RandomNormal(stddev=np.sqrt(2 / 9), seed=0)  # weights a channel
    depthwise = {"kernel_size": 3, "depthwise_initializer": nine}
    h = image = keras.Input((96, 96, 3))
    h = layers.ReLU(6.0)(strided(layers.Conv2D, h, **first))
    for filters, strides in _BLOCKS:
        if strides == 2:
            h = strided(layers.DepthwiseConv2D, h, **depthwise)
        else:
            h = layers.DepthwiseConv2D(padding="same", **depthwise)(h)
        h = layers.Conv2D(filters, 1, kernel_initializer="he_normal")(layers.ReLU(6.0)(h))
        h = layers.ReLU(6.0)(h)
    return keras.Model(image, layers.Dense(10)(layers.GlobalAveragePooling2D()(h)))


def _dense_layers():
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    h = values = keras.Input((WIDTH,))
    for _ in range(3):
        h = layers.Dense(WIDTH, "relu", kernel_initializer="he_normal")(h)
    return keras.Model(values, layers.Dense(10)(h))


def _prune(model, zeros: float) -> None:
    """Zero the smallest weights; the others grow, so that the signal does not fade."""
    from keras import layers

    for layer in model.layers:
        pointwise = type(layer) is layers.Conv2D and layer.kernel_size == (1, 1)
        if pointwise or isinstance(layer, layers.Dense):
            kernel = np.asarray(layer.kernel)
            kept = kernel * (np.abs(kernel) >= np.quantile(np.abs(kernel), zeros))
            layer.kernel.assign(kept * np.linalg.norm(kernel) / np.linalg.norm(kept))


def _has_avx() -> bool | None:
    """Whether it is x86 with AVX; None where Linux does not say."""
    try:
        return " avx " in Path("/proc/cpuinfo").read_text()
    except OSError:
        return None


if __name__ == "__main__":
    main()

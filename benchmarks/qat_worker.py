"""Worker of benchmarks/qat.py: what quantization-aware training costs, in one engine, of one net.

python benchmarks/qat_worker.py edgekit mobilenet_v2 --repeats 3 --rounds 20
"""

import contextlib
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator

import click
import numpy as np
from resnet8 import resnet8

import edgekit as ek

# Calibration samples of the plain net.
SAMPLES = 16
STEPS = 10


def ds_cnn(keras):
    """DS-CNN for 49×10 spectrograms, 12 keywords, as MLPerf Tiny has it: 24 k parameters."""
    layers = keras.layers
    x = sound = keras.Input((49, 10, 1))

    def block(x, layer):
        return layers.ReLU()(layers.BatchNormalization()(layer(x)))

    x = block(x, layers.Conv2D(64, (10, 4), strides=2, padding="same"))
    for _ in range(4):
        x = block(x, layers.DepthwiseConv2D(3, padding="same"))
        x = block(x, layers.Conv2D(64, 1))
    classes = layers.Dense(12, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(sound, classes, name="ds_cnn")


def mobilenet_v2(keras):
    """MobileNetV2 for 96×96 images, 10 classes: 2.3 M parameters."""
    return keras.applications.MobileNetV2((96, 96, 3), weights=None, classes=10)


# The net, and the size of its batch.
NETS = {"ds_cnn": (ds_cnn, 64), "resnet8": (resnet8, 64), "mobilenet_v2": (mobilenet_v2, 32)}


class Edgekit:
    """Keras 3 with edgekit."""

    def __init__(self):
        import keras

        self.keras = keras

    def quantize_aware(self, net):
        """Wrap a net."""
        return ek.quantize_aware(net)

    def int8(self, net, samples: np.ndarray | None) -> bytes:
        """The int8 file; of a quantization-aware net without samples."""
        return ek.convert(net, "int8", calibration=samples)["int8"].content


class Tfmot:
    """tf_keras with TensorFlow Model Optimization, as its guide has it."""

    def __init__(self):
        import tf_keras

        self.keras = tf_keras

    def quantize_aware(self, net):
        """Wrap a net."""
        from tensorflow_model_optimization.quantization.keras import quantize_model

        return quantize_model(net)

    def int8(self, net, samples: np.ndarray | None) -> bytes:
        """The int8 file; of a quantization-aware net without samples."""
        import tensorflow as tf

        converter = tf.lite.TFLiteConverter.from_keras_model(net)
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if samples is not None:
            converter.representative_dataset = lambda: ([x[None]] for x in samples)
        return converter.convert()


ENGINES = {"edgekit": Edgekit, "tfmot": Tfmot}


@click.command()
@click.argument("engine", type=click.Choice(list(ENGINES)))
@click.argument("net", type=click.Choice(list(NETS)))
@click.option("--repeats", default=3, show_default=True, help="First steps and conversions.")
@click.option("--rounds", default=20, show_default=True, help="Rounds of steps.")
def main(engine, net, repeats, rounds):
    """Measure, and print JSON."""
    with _nothing_said():
        figures = Cost(ENGINES[engine](), net).measure(repeats, rounds)
    click.echo(json.dumps(figures))


class Cost:
    """Measures one net, plain and quantization-aware in turns."""

    def __init__(self, engine, net: str):
        self.engine = engine
        self.make, self.batch = NETS[net]

    def measure(self, repeats: int, rounds: int) -> dict:
        """All figures."""
        self._warm_up()
        first, wrap, steps = {"plain": [], "qat": []}, [], {"plain": [], "qat": []}
        for number in range(repeats):
            self.engine.keras.utils.set_random_seed(number)
            nets = {"plain": self.make(self.engine.keras)}
            wrap.append(_seconds(lambda nets=nets: nets.update(qat=self._wrapped())))
            for name in _turns(number):
                first[name].append(_seconds(lambda net=nets[name]: self._first_step(net)))
        run = {name: self._steps_of(net) for name, net in nets.items()}
        for number in range(rounds + 1):
            for name in _turns(number):
                seconds = _seconds(run[name])
                if number:
                    steps[name].append(seconds)
        convert, size = self._conversions(nets, repeats)
        return {
            "step_ratios": [
                round(q / p, 4) for q, p in zip(steps["qat"], steps["plain"], strict=True)
            ],
            "step_ms": {n: round(1000 * statistics.median(s) / STEPS, 2) for n, s in steps.items()},
            "wrap_seconds": _rounded(wrap),
            "first_step_seconds": {name: _rounded(found) for name, found in first.items()},
            "convert_seconds": {name: _rounded(found) for name, found in convert.items()},
            "bytes": size,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1000,
        }

    def _warm_up(self) -> None:
        """TensorFlow's own first steps and conversions are not those of a net."""
        layers = self.engine.keras.layers
        net = self.engine.keras.Sequential([layers.Input((8,)), layers.Dense(2)])
        net.compile("adam", "mse")
        net.fit(np.zeros((4, 8)), np.zeros((4, 2)), verbose=0)
        self.engine.int8(net, np.random.default_rng(0).random((8, 8), "float32"))

    def _wrapped(self):
        return self.engine.quantize_aware(self.make(self.engine.keras))

    def _first_step(self, net) -> None:
        keras = self.engine.keras
        net.compile(keras.optimizers.Adam(1e-3), keras.losses.SparseCategoricalCrossentropy())
        x, y = self._data(net, 1)
        net.fit(x, y, batch_size=self.batch, verbose=0)

    def _data(self, net, batches: int) -> tuple[np.ndarray, np.ndarray]:
        rng, count = np.random.default_rng(0), batches * self.batch
        x = rng.random((count, *net.input_shape[1:]), "float32")
        return x, rng.integers(0, net.output_shape[-1], count)

    def _steps_of(self, net) -> Callable[[], None]:
        """Runs `STEPS` steps, and nothing of what `fit` does around them."""
        import tensorflow as tf

        data = tf.data.Dataset.from_tensor_slices(self._data(net, STEPS))
        data = data.batch(self.batch, drop_remainder=True).cache()

        def run():
            batches = iter(data)  # one of TensorFlow's: a list's would be traced again
            for _ in range(STEPS):
                net.train_function(batches)

        return run

    def _conversions(self, nets: dict, repeats: int) -> tuple[dict, dict]:
        samples = self._data(nets["plain"], 1)[0][:SAMPLES]
        seconds, size = {"plain": [], "qat": []}, {}
        for number in range(repeats):
            for name in _turns(number):

                def convert(name=name):
                    given = samples if name == "plain" else None
                    size[name] = len(self.engine.int8(nets[name], given))

                seconds[name].append(_seconds(convert))
        return seconds, {name: size[name] for name in nets}


def _turns(number: int) -> tuple[str, str]:
    return ("plain", "qat") if number % 2 else ("qat", "plain")


def _seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def _rounded(seconds: list[float]) -> list[float]:
    return [round(value, 3) for value in seconds]


@contextlib.contextmanager
def _nothing_said() -> Iterator[None]:
    """Standard output is for the figures alone."""
    with contextlib.redirect_stdout(sys.stderr):
        yield


if __name__ == "__main__":
    main()

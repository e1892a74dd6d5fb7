"""Accuracy after training: MLPerf Tiny's ResNet-8 in int4 as LiteRT runs it, by method.

    EDGEKIT_DATA=data python benchmarks/posttraining.py --out benchmarks/results/posttraining.json

The folder holds `cifar10_train_jpeg.npz` (`jpeg` bytes, `offsets`, `y`) and
`mlperf_tiny/resnet8.h5`. Calibration and test images are different ones.
"""

import io
import time
import warnings
from pathlib import Path

import click
import numpy as np
from figures import data_folder, save


@click.command()
@click.option("--iterations", default=1000, show_default=True, help="Of AdaRound, per layer.")
@click.option("--samples", default=1000, show_default=True, help="Images that methods see.")
@click.option("--test", default=5000, show_default=True, help="Images accuracy is measured on.")
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(iterations, samples, test, out):
    """Measure each method in turn."""
    import keras

    import edgekit as ek

    folder = data_folder()
    keras.utils.set_random_seed(0)
    images, labels = _images(folder, samples + test)
    seen, unseen, answers = images[:samples], images[samples:], labels[samples:]
    model = keras.models.load_model(folder / "mlperf_tiny" / "resnet8.h5", compile=False)
    methods = {
        "nearest": lambda: model,
        "equalize": lambda: ek.equalize(model),
        "correct_bias": lambda: ek.correct_bias(model, seen[:256], bits=4),
        "adaround": lambda: ek.adaround(model, seen, bits=4, iterations=iterations),
    }
    found = {"float": {"accuracy": _accuracy(ek.convert(model)["float32"], unseen, answers)}}
    for name, method in methods.items():
        start = time.perf_counter()
        rewritten = method()
        seconds = time.perf_counter() - start
        with warnings.catch_warnings(action="ignore"):  # that int4 is far from the model
            formats = ["int4", "int8"] if rewritten is model else ["int4"]
            files = ek.convert(rewritten, formats, calibration=seen[:200])
        for width, file in files.items():
            found[f"{name} {width}"] = {
                "accuracy": _accuracy(file, unseen, answers),
                "bytes": file.size,
                "seconds": round(seconds, 1),
            }
    for name, figures in found.items():
        lost = 100 * (figures["accuracy"] - found["float"]["accuracy"])
        print(f"{name:20s} {figures['accuracy']:.2%}   {lost:+.2f} points")
    settings = {"iterations": iterations, "samples": samples, "test_images": test}
    save({"settings": settings, "figures": found}, out)


def _images(folder, count):
    from PIL import Image

    with np.load(folder / "cifar10_train_jpeg.npz") as stored:
        content, offsets, labels = stored["jpeg"].tobytes(), stored["offsets"], stored["y"]
    # The last ones: the net was trained on all, in another compression.
    chosen = range(len(labels) - count, len(labels))
    images = [Image.open(io.BytesIO(content[offsets[i] : offsets[i + 1]])) for i in chosen]
    return np.stack([np.asarray(image) for image in images]).astype("float32"), labels[-count:]


def _accuracy(file, images, labels) -> float:
    return float(np.mean(file.predict(images).argmax(-1) == labels.astype(int)))


if __name__ == "__main__":
    main()

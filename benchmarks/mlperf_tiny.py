"""MLPerf Tiny's four nets: edgekit's int8 from the float file beside the reference int8 file.

    EDGEKIT_DATA=data python benchmarks/mlperf_tiny.py --out benchmarks/results/mlperf_tiny.json

The folder holds `mlperf_tiny/{resnet8,kws,vww,ad01}_{float,int8}.tflite` and
`cifar10_train_jpeg.npz`. ResNet-8 sees real images, the others seeded values over the range that
the reference file's input was made for. Signal to noise is against the float file, on samples that
were not calibrated on. Each conversion is repeated, for the same bytes.
"""

import json
from pathlib import Path

import click
import numpy as np
from figures import data_folder, save
from posttraining import _images as cifar_images

from converters.signal_to_noise import signal_to_noise

NETS = ("resnet8", "kws", "vww", "ad01")
CALIBRATION, TEST = 200, 400


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="Where the JSON goes.")
def main(out):
    """Convert and compare each net."""
    from converters import Flatbuffer, convert

    data = data_folder()
    report = {}
    for net in NETS:
        folder = data / "mlperf_tiny"
        original = Flatbuffer.from_file(folder / f"{net}_float.tflite")
        reference = Flatbuffer.from_file(folder / f"{net}_int8.tflite")
        samples = _samples(net, data, original, reference)
        seen, unseen = samples[:CALIBRATION], samples[CALIBRATION:]
        ours = convert(original, "int8", calibration=seen)["int8"]
        again = convert(original, "int8", calibration=seen)["int8"]
        expected = original.predict(unseen)
        report[net] = {
            "input": "CIFAR-10 images" if net == "resnet8" else "seeded values",
            "bytes": {"edgekit": ours.size, "reference": reference.size},
            "more_bytes": round(ours.size / reference.size - 1, 4),
            "decibel": {
                "edgekit": round(signal_to_noise(expected, ours.predict(unseen)), 2),
                "reference": round(signal_to_noise(expected, reference.predict(unseen)), 2),
            },
            "same_bytes_again": ours.content == again.content,
        }
        print(net, json.dumps(report[net]), flush=True)
    save(report, out)


def _samples(net, data, original, reference):
    from converters import inspect

    (shape,) = original.input_shapes.values()
    count = CALIBRATION + TEST
    if net == "resnet8":
        return cifar_images(data, count)[0]
    rng = np.random.default_rng(0)
    edge = inspect(reference).inputs[0]
    low, high = (np.array([-128, 127]) - edge.zero_point) * edge.scale
    if net == "vww":
        return rng.uniform(low, high, (count, *shape[1:])).astype("float32")
    middle, deviation = (low + high) / 2, (high - low) / 6
    return rng.normal(middle, deviation, (count, *shape[1:])).clip(low, high).astype("float32")


if __name__ == "__main__":
    main()

"""The converter's own process: `python -m converters.worker JOB_FOLDER`.

Reads `job.json`, `saved_model/` and, for calibration, `calibration.npz`; writes one
`FORMAT.tflite` per format. A crash here is an exit code to whoever started it.
"""

import json
import os
import sys
from pathlib import Path

from converters.integer import to_integer


def main(folder: Path) -> None:
    """Convert the job in `folder`."""
    job = json.loads((folder / "job.json").read_text())
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    import numpy as np
    import tensorflow as tf

    samples = None
    if (folder / "calibration.npz").exists():
        with np.load(folder / "calibration.npz") as loaded:
            samples = {name: loaded[name] for name in loaded.files}
    for name in job["formats"]:
        (folder / "current").write_text(name)
        converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(folder / "saved_model"))
        if job["quantization_aware"]:
            content = to_integer(converter.convert(), job["edges"])
        else:
            _set_up(converter, name, job, samples, tf)
            content = converter.convert()
        (folder / f"{name}.tflite").write_bytes(content)


def _set_up(converter, name, job, samples, tf) -> None:
    if name == "float32":
        return
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if name == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if name == "int8":
        converter.representative_dataset = lambda: _samples(samples, job["batch"])
        converter.target_spec.supported_ops = [
            tf.lite.OpsSet.TFLITE_BUILTINS_INT8,
            tf.lite.OpsSet.TFLITE_BUILTINS,  # what has no integer kernel stays float
        ]
        if job["edges"] == "integer":
            converter.inference_input_type = tf.int8
            converter.inference_output_type = tf.int8


def _samples(samples, batch):
    count = len(next(iter(samples.values())))
    for start in range(0, count - batch + 1, batch):
        yield {name: array[start : start + batch] for name, array in samples.items()}


if __name__ == "__main__":
    main(Path(sys.argv[1]))

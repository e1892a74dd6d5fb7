"""The converter's own process: `python -m converters.worker keras|flatbuffer`.

A job reads `job.json` in its folder and what `Job` names; it writes one `FORMAT.tflite` per format.
Whoever asked for it finds in `current` what was being made when it crashed.
"""

import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from converters.checks import Check, compare, write_checks
from converters.forked_jobs import serve
from converters.formats import FORMATS
from converters.integer import quantize, to_integer, with_integer_kernels
from converters.integer.float_weights import with_float_weights
from converters.isolation import run_isolated
from converters.runner import Runner
from converters.sparse_inference import sparse_inference
from converters.sparse_weights import KINDS, with_sparse_weights

CHECKS_AT_ONCE = 2
_TICK = 0.01


class Job:
    """The job in a folder.

    `job.json` says which files to make, or in which `bits` to try each op. `float` holds the
    model as a SavedModel, or as `float.tflite`; `unrolled` is the same with its loops unrolled,
    where integer formats need that. `calibration.npz` has samples by input name, `probe.npz` a
    few on which every file is run and compared with `expected.npz`, what the Keras model says,
    which may come later.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.options = json.loads((folder / "job.json").read_text())
        self.formats: list[str] = self.options.get("formats", [])
        self._unfinished: list[str] = []
        self._one_at_a_time = Lock()

    def run(self) -> None:
        """Make all files, or say what rounding each op alone does."""
        if "bits" in self.options:
            self.measure_damage()
        else:
            self.make_files()

    def measure_damage(self) -> None:
        """Write `damage.json`, and what files of any bits are made from."""
        from converters.damage import measure_damage

        (self.folder / "current").write_text("integers, op by op")
        samples = _arrays(self.folder / "calibration.npz")
        found = measure_damage(
            self.countable, self.ranges, samples, self.options["bits"], self._progress
        )
        (self.folder / "countable.tflite").write_bytes(self.countable)
        (self.folder / "ranges.json").write_text(json.dumps(list(self.ranges.items())))
        (self.folder / "damage.json").write_text(json.dumps(found))

    def make_files(self) -> None:
        """Make all files, and run each while the next one is made."""
        with ThreadPoolExecutor(CHECKS_AT_ONCE) as pool:
            running = [pool.submit(self.check, name, self.file(name)) for name in self.formats]
            checks = [check.result() for check in running]
        write_checks(self.folder / "checks.json", dict(zip(self.formats, checks, strict=True)))

    def file(self, name: str) -> bytes:
        """The flatbuffer of a format, written to the folder."""
        self._unfinished.append(name)
        self._say()
        content = self.make(name)
        if self.options["sparse"]:
            content = self.sparse(content)
        (self.folder / f"{name}.tflite").write_bytes(content)
        return content

    def make(self, name: str) -> bytes:
        """The flatbuffer of a format."""
        if self.options["quantization_aware"]:
            return to_integer(self.plain, self.options["edges"])
        if name == "float32":
            return self.plain
        if not FORMATS[name].integer:
            from converters.weights import with_small_weights

            return with_small_weights(self.plain, FORMATS[name], self.options["block"])
        return quantize(
            self.countable,
            self.ranges,
            activation_bits=FORMATS[name].activations,
            weight_bits=FORMATS[name].weights,
            symmetric=self.options["symmetric"],
            edges=self.options["edges"],
        )

    def sparse(self, content: bytes) -> bytes:
        """The smallest file with sparse kernels that LiteRT runs; the same one if none is.

        What it does wrong on processors other than this one does not show in a run.
        """
        if sparse_inference(content).harm:
            return content
        tried = {with_sparse_weights(content, kinds) for kinds in KINDS}
        for smaller in sorted(tried - {content}, key=len):
            with suppress(ValueError):
                run_isolated(smaller, "xnnpack", "outputs", self.probe)
                return smaller
        return content

    def check(self, name: str, content: bytes) -> Check:
        """Run a file and compare it with the model."""
        with self._one_at_a_time:
            inputs = self.probe
        found = _outputs(content, inputs)
        with self._one_at_a_time:
            expected = self.expected
        check = compare(expected, found)
        self._unfinished.remove(name)
        self._say()
        return check

    @cached_property
    def probe(self) -> dict:
        """Samples to run files on."""
        return _arrays(self.folder / "probe.npz")

    @cached_property
    def expected(self) -> dict:
        """What the model says to them."""
        if self.options["model"] == "flatbuffer":
            return _outputs(self.plain, self.probe)
        said = self.folder / "expected.npz"
        while not said.exists():
            time.sleep(_TICK)
        return _arrays(said)

    @cached_property
    def plain(self) -> bytes:
        """The float flatbuffer."""
        if (self.folder / "float.tflite").exists():
            return with_float_weights((self.folder / "float.tflite").read_bytes())
        return _flatbuffer_of(self.folder / "float")

    @cached_property
    def countable(self) -> bytes:
        """The float flatbuffer that integer formats are made from."""
        unrolled = (self.folder / "unrolled").exists()
        return with_integer_kernels(
            _flatbuffer_of(self.folder / "unrolled") if unrolled else self.plain
        )

    @cached_property
    def ranges(self) -> dict[int, tuple[float, float]]:
        """What the samples say, measured once for all formats."""
        from converters.calibration import measure_ranges

        samples = _arrays(self.folder / "calibration.npz")
        return measure_ranges(self.countable, samples, self.options["estimator"], self._progress)

    def _say(self) -> None:
        (self.folder / "current").write_text(", ".join(self._unfinished))

    def _progress(self, done: int, total: int) -> None:
        (self.folder / "progress").write_text(f"{done} {total}")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as loaded:
        return {name: loaded[name] for name in loaded.files}


def _outputs(content: bytes, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    found = Runner(content, "xnnpack").outputs(inputs)
    return {name: tensor.values for name, tensor in found.items()}


def _flatbuffer_of(saved_model: Path) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(saved_model))
    converter.exclude_conversion_metadata = True
    return converter.convert()


def main(kind: str) -> None:
    """Load what jobs need, and do them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if kind == "keras":
        # TensorFlow loads Keras where it finds it, which takes as long as the rest of it.
        sys.modules["keras"] = None
        import tensorflow  # noqa: F401 - takes seconds
    serve(lambda folder: Job(folder).run())


if __name__ == "__main__":
    main(sys.argv[1])

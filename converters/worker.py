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
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from threading import Lock

import numpy as np

from converters.checks import Check, compare, write_checks
from converters.forked_jobs import serve
from converters.formats import FORMATS
from converters.integer import quantize_subgraphs, to_integer, with_integer_kernels
from converters.integer.float_weights import with_float_weights
from converters.isolation import run_isolated
from converters.reader import read_model
from converters.runner import Runner
from converters.single_signature import single_signature
from converters.sparse_inference import sparse_inference
from converters.sparse_weights import KINDS, with_sparse_weights

CHECKS_AT_ONCE = 2
_TICK = 0.01


class Job:
    """The job in a folder.

    `job.json` says which files to make, or in which `bits` to try each op. `float` holds the
    model as a SavedModel, or as `float.tflite`; `unrolled` is the same with its loops unrolled,
    where integer formats need that. `calibration_0.npz` has samples by input name for the first
    of the `signatures`, the default one, `probe_0.npz` a few on which every file is run and
    compared with `expected.npz`, what the Keras model says, which may come later; the others are
    for the signatures after it. `calibrated` says which have samples, in the order to run them.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path):
        self.folder = folder
        self.options = json.loads((folder / "job.json").read_text())
        self.formats: list[str] = self.options.get("formats", [])
        self._unfinished: list[str] = []
        self.signatures: list[str | None] = self.options["signatures"]
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
        ((_, samples),) = self.samples.items()
        ((_, ranges),) = self.ranges.items()
        found = measure_damage(
            self.countable, ranges, samples, self.options["bits"], self._progress
        )
        (self.folder / "countable.tflite").write_bytes(self.countable)
        (self.folder / "ranges.json").write_text(json.dumps(list(ranges.items())))
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
        return quantize_subgraphs(
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
                for signature, inputs in self.probes.items():
                    run_isolated(smaller, "xnnpack", "outputs", inputs, signature)
                return smaller
        return content

    def check(self, name: str, content: bytes) -> Check:
        """Run a file and compare it with the model."""
        with self._one_at_a_time:
            expected = self.expected
        default, *others = self.signatures
        first = self._compared(content, default)
        found = {key: self._compared(content, key) for key in others if key in expected}
        check = replace(first, signatures=found)
        self._unfinished.remove(name)
        self._say()
        return check

    def _compared(self, content: bytes, signature: str | None) -> Check:
        found = _outputs(content, self.probes[signature], signature)
        return compare(self.expected[signature], found)

    @cached_property
    def probes(self) -> dict[str | None, dict]:
        """Samples to run files on, by signature."""
        files = {key: self._file_of("probe", key) for key in self.signatures}
        return {key: _arrays(file) for key, file in files.items() if file.exists()}

    @cached_property
    def samples(self) -> dict[str | None, dict]:
        """What ranges are measured on, by signature."""
        return {
            key: _arrays(self._file_of("calibration", key)) for key in self.options["calibrated"]
        }

    def _file_of(self, kind: str, signature: str | None) -> Path:
        return self.folder / f"{kind}_{self.signatures.index(signature)}.npz"

    @cached_property
    def expected(self) -> dict[str | None, dict]:
        """What the model says to the probes; without signatures that do not take theirs."""
        default, *others = self.signatures
        if self.options["model"] == "flatbuffer":
            found = {default: _outputs(self.plain, self.probes[default], default)}
            for key in others:
                with suppress(ValueError, KeyError):  # a signature without a probe, as of strings
                    found[key] = _outputs(self.plain, self.probes[key], key)
            return {key: outputs for key, outputs in found.items() if outputs or key == default}
        said = self.folder / "expected.npz"
        while not said.exists():
            time.sleep(_TICK)
        return {default: _arrays(said)}

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
        plain = _flatbuffer_of(self.folder / "unrolled") if unrolled else self.plain
        if "bits" in self.options:  # ops are tried one by one in the first subgraph
            plain = single_signature(plain)
        models = [read_model(plain, key) for key in self.options["calibrated"]]
        return with_integer_kernels(plain, {model.subgraph for model in models})

    @cached_property
    def ranges(self) -> dict[int, dict[int, tuple[float, float]]]:
        """What the samples say of each subgraph, measured once for all formats."""
        from converters.calibration import measure_signatures

        return measure_signatures(
            self.countable, self.samples, self.options["estimator"], self._progress
        )

    def _say(self) -> None:
        (self.folder / "current").write_text(", ".join(self._unfinished))

    def _progress(self, done: int, total: int) -> None:
        (self.folder / "progress").write_text(f"{done} {total}")


def _arrays(path: Path) -> dict[str, np.ndarray]:
    with np.load(path) as loaded:
        return {name: loaded[name] for name in loaded.files}


def _outputs(
    content: bytes, inputs: dict[str, np.ndarray], signature: str | None
) -> dict[str, np.ndarray]:
    found = Runner(content, "xnnpack", signature=signature).outputs(inputs)
    return {name: tensor.values for name, tensor in found.items()}


def _flatbuffer_of(saved_model: Path) -> bytes:
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(os.fspath(saved_model))
    converter.exclude_conversion_metadata = True
    return converter.convert()


def _do(folder: Path, exported: str | None = None) -> None:
    """Do a job, or make the float flatbuffer of an exported SavedModel."""
    if exported is None:
        Job(folder).run()
        return
    from converters.exported import convert_exported

    convert_exported(folder, exported)


def main(kind: str) -> None:
    """Load what jobs need, and do them."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    if kind == "keras":
        # TensorFlow loads Keras where it finds it, which takes as long as the rest of it.
        sys.modules["keras"] = None
        import tensorflow  # noqa: F401 - takes seconds
    serve(_do)


if __name__ == "__main__":
    main(sys.argv[1])

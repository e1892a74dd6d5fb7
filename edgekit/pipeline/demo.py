"""The main job, end to end: train, prune, quantise, convert, verify, measure, report."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import keras
import tensorflow as tf

import edgekit as ek
from converters import Flatbuffer, convert
from converters.files import write_whole
from converters.progress import Stages
from device_bench import benchmark
from edgekit.core.finite import check_finite_weights
from edgekit.pipeline.checks import Check
from edgekit.pipeline.comparison import Comparison, agreement, top1
from edgekit.pipeline.digits import Digits, build_ds_cnn, load_digits
from edgekit.pipeline.progress import TrainingProgress
from edgekit.pipeline.report import render_report

FORMATS = ("float32", "float16", "dynamic", "int8")
SPARSITY = 0.8
_CALIBRATION_SAMPLES = 200


@dataclass(frozen=True)
class Effort:
    """How much of everything a run does.

    Args:
        copies: Changed copies of each training image.
        epochs: Of the baseline's training, of pruning, of training with int8 rounding.
        batch_size: Of all three.
        processes: Fresh ones that measure each file.
        seconds: Of steady runs in each.
        least_accuracy: That the baseline is to reach, 0 to 1.
        most_lost: Accuracy that int8 may give up, 0 to 1.
    """

    copies: int
    epochs: tuple[int, int, int]
    batch_size: int
    processes: int
    seconds: float
    least_accuracy: float
    most_lost: float


FULL = Effort(5, (4, 3, 1), 128, 8, 0.3, least_accuracy=0.97, most_lost=0.005)
# Trained on a third of the images, a net is less sure of its answers.
QUICK = Effort(1, (3, 2, 1), 64, 2, 0.05, least_accuracy=0.95, most_lost=0.02)
BASELINE, SPARSE, QAT = "baseline float32", "pruned float32, stored sparse", "pruned QAT int8"


@dataclass(frozen=True)
class Demo:
    """What a demo run found and where its files are."""

    comparison: Comparison
    checks: list[Check]
    out: Path

    @property
    def passed(self) -> bool:
        """Whether every check holds."""
        return all(check.passed for check in self.checks)


def run_demo(
    out: str | os.PathLike,
    seed: int = 0,
    stages: Stages | None = None,
    effort: Effort = FULL,
) -> Demo:
    """Compress a real model and prove what it cost.

    A depthwise-separable CNN learns handwritten digits, is pruned, trained on with int8
    rounding and its zeros kept, converted, and measured in LiteRT on images it has not seen.
    On one machine, with the same builds of the libraries, the same seed gives the same accuracies
    and `.tflite` bytes: TensorFlow is set to deterministic ops for the rest of the process.

    Args:
        out: Folder for `report.html`, `report.json`, the `.tflite` files and the Keras models;
            made if need be.
        seed: Of data split, weights and training. Defaults to `0`.
        stages: Where to show progress. Defaults to `None`: standard error.
        effort: How much is trained and measured. Defaults to `FULL`.

    Returns:
        The comparison of all files and the checks.

    Raises:
        ImportError: The extra `demo` is not installed.
        OSError: `out` cannot be written to.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(f"cannot write to the folder {out}")
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()
    with (stages or Stages()).running() as stages:
        with stages.step("digits"):
            digits = load_digits(seed, effort.copies)
        models, history = _train(digits, seed, effort, stages)
        with stages.step("converting"):
            files = _convert(models, digits)
        with stages.step("accuracy in LiteRT"):
            comparison = Comparison(files, digits.x_test, digits.y_test)
        comparison.benchmark = benchmark(
            files,
            inputs=digits.x_test,
            processes=effort.processes,
            seconds=effort.seconds,
            seed=seed,
            on_progress=stages.counter("benchmark"),
        )
        checks = _check(comparison, models["qat"], digits, effort)
        with stages.step("report"):
            _write(out, comparison, checks, models, history, seed)
    return Demo(comparison, checks, out)


def _train(digits: Digits, seed: int, effort: Effort, stages: Stages):
    """Baseline, pruned and quantisation-aware models, and how each trained."""
    history = {}

    def train(name, model, epochs, rate, *callbacks) -> None:
        steps = epochs * -(-len(digits.x_train) // effort.batch_size)
        model.compile(
            keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps)),
            "sparse_categorical_crossentropy",
            metrics=["accuracy"],
        )
        fit = model.fit(
            digits.x_train,
            digits.y_train,
            batch_size=effort.batch_size,
            epochs=epochs,
            callbacks=[*callbacks, TrainingProgress(stages.counter(f"training: {name}"))],
            verbose=0,
        )
        check_finite_weights(model, f"the training of {name}")
        history[name] = {key: [float(v) for v in values] for key, values in fit.history.items()}

    model = build_ds_cnn(seed)
    train("baseline", model, effort.epochs[0], 4e-3)
    baseline = ek.strip(model)  # a copy: pruning goes on in place
    pruning = ek.GradualPruning(
        SPARSITY, ek.schedules.Polynomial(begin=0.0, end=0.5), scope="global"
    )
    train("pruned", model, effort.epochs[1], 4e-3, pruning)
    qat = ek.quantize_aware(model, "int8")
    train("qat", qat, effort.epochs[2], 1e-3, ek.KeepSparsity())
    return {"baseline": baseline, "pruned": model, "qat": qat}, history


def _convert(models: dict[str, keras.Model], digits: Digits) -> dict[str, Flatbuffer]:
    files = {BASELINE: convert(models["baseline"], ["float32"])["float32"]}
    calibration = digits.x_train[:_CALIBRATION_SAMPLES]
    for name, file in convert(models["pruned"], FORMATS, calibration).items():
        files[f"pruned {name}"] = file
    files[SPARSE] = convert(files["pruned float32"], ["float32"], sparse=True)["float32"]
    return files | {QAT: convert(models["qat"], ["int8"])["int8"]}


def _check(comparison: Comparison, qat: keras.Model, digits: Digits, effort: Effort) -> list[Check]:
    baseline, final = comparison[BASELINE], comparison[QAT]
    pruned = [row for row in comparison.rows if row.name.startswith("pruned")]
    in_keras = top1(qat.predict(digits.x_test, batch_size=500, verbose=0))
    integer_ops = final.inspection.op_dtypes.get("int8", 0)
    return [
        Check("accuracy of the baseline", baseline.accuracy, effort.least_accuracy),
        Check("least sparsity of a pruned file", min(r.inspection.sparsity for r in pruned), 0.7),
        Check(
            "accuracy int8 gives up",
            baseline.accuracy - final.accuracy,
            effort.most_lost,
            at_least=False,
        ),
        Check("ops of the int8 file in int8", integer_ops / len(final.inspection.ops), 1.0),
        Check(
            "bytes of int8 against float32",
            final.flatbuffer.size / baseline.flatbuffer.size,
            0.35,
            at_least=False,
        ),
        Check("top-1 agreement of Keras and LiteRT", agreement(in_keras, final.predictions), 0.99),
    ]


def _write(out: Path, comparison, checks, models, history, seed) -> None:
    for row in comparison.rows:
        row.flatbuffer.save(out / f"{_file_name(row.name)}.tflite")
    for name, model in models.items():
        _save_keras(model, out / f"{name}.keras")
    report = {
        "schema_version": 1,
        "edgekit": ek.__version__,
        "seed": seed,
        "held_out_samples": comparison.samples,
        "training": history,
        "checks": [check.to_dict() for check in checks],
        "files": comparison.to_dict(),
        "benchmark": comparison.benchmark.to_dict(),
    }
    write_whole(out / "report.json", json.dumps(report, ensure_ascii=False))
    write_whole(out / "report.html", render_report(comparison, checks, seed))


def _file_name(name: str) -> str:
    return re.sub(r"\W+", "_", name).lower()


def _save_keras(model: keras.Model, path: Path) -> None:
    beside = path.with_name(f".{path.name}.part.keras")
    model.save(beside)
    os.replace(beside, path)

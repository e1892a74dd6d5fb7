"""`mixed_precision`: 4 or 8 bits for each op's weights, under a budget of bytes or accuracy."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from numbers import Real

import numpy as np

from converters.calibration.streams import CalibrationData, read_samples
from converters.checks import compare
from converters.errors import ConversionError
from converters.flatbuffer import Flatbuffer
from converters.integer import quantize
from converters.judgement import refuse_broken
from converters.sensitivity_analysis import OpDamage, Sensitivity, sensitivity
from converters.source import Convertible, as_source

# Budgets between those of all 4 and all 8 bits that are tried for an accuracy.
_TRIES = 7


@dataclass(frozen=True)
class MixedPrecision:
    """A file with weights of different bits.

    Attributes:
        file: The integer flatbuffer.
        bits: `{name of the op's output: bits of its weights}`.
        noise: Noise over signal of the outputs that the ops' damage adds up to.
        accuracy: Share of right answers on the samples given; None without labels.
        float_accuracy: That of the float model.
    """

    file: Flatbuffer
    bits: dict[str, int]
    noise: float
    accuracy: float | None = None
    float_accuracy: float | None = None


def mixed_precision(
    model: Convertible | Sensitivity,
    calibration: CalibrationData,
    max_bytes: int | None = None,
    max_drop: float | None = None,
    labels: np.ndarray | None = None,
    estimator: str | Mapping[str, str] = "minmax",
) -> MixedPrecision:
    """The integer file that loses least within a budget: 4-bit weights where they harm least.

    Each op's damage is measured alone (`sensitivity`), and an integer program chooses the bits:
    the least damage in so many bytes, or the fewest bytes at so much damage. Under an accuracy,
    files between all 4 and all 8 bits are made and run.

    Example:
        >>> found = mixed_precision(model, x, max_bytes=60_000)
        >>> found = mixed_precision(model, x, labels=y, max_drop=0.01)
        >>> found.bits, found.file.size
        >>> found.file.save("model.tflite")

    Args:
        model: As in `convert`, or what `sensitivity` found for it.
        calibration: As in `convert`.
        max_bytes: The largest file. Defaults to `None`.
        max_drop: The most accuracy to lose against the float model on the samples, as a share:
            0.01 is one point. Defaults to `None`. One of the two is given.
        labels: Right classes of the calibration samples, which `max_drop` needs; the float
            model's own answers where none are given. Defaults to `None`.
        estimator: As in `convert`. Defaults to `"minmax"`.

    Raises:
        ValueError: None or both budgets, one out of range, labels that do not fit.
        ConversionError: No file fits the budget; the message says what would.

    Source: Dong et al. 2019, HAWQ (arXiv 1905.03696), for bits by sensitivity; the program is
    `scipy.optimize.milp`.
    """
    _check_budget(max_bytes, max_drop)
    found = model
    if not isinstance(model, Sensitivity):
        source = as_source(model)
        if max_drop is not None:  # streams are read once
            calibration = read_samples(
                calibration, source.shapes, source.model is not None, source.aliases
            )
        found = sensitivity(model, calibration, estimator=estimator)
    allocator = _Allocator(found)
    if max_bytes is not None:
        return allocator.within_bytes(max_bytes)
    if not isinstance(calibration, (np.ndarray, Mapping)):
        raise ValueError("`calibration` must be arrays where `model` is a Sensitivity")
    return allocator.within_drop(max_drop, calibration, labels)


class _Allocator:
    """Chooses bits for the ops of a model.

    Args:
        found: What each op does alone.
    """

    def __init__(self, found: Sensitivity):
        self.found = found
        self.ops = [op for op in found.ops if op.weights]
        self.free = [op for op in self.ops if 4 in op.noise]
        self.expected = Flatbuffer(found.content).outputs(found.samples)
        self.all_8 = self.make({})
        self.all_4 = self.make({op.index: 4 for op in self.free})

    def make(self, bits: Mapping[int, int]) -> Flatbuffer:
        """The file with these bits by op, 8 for others."""
        return Flatbuffer(quantize(self.found.content, self.found.ranges, weight_bits=bits))

    def result(self, file: Flatbuffer, bits: Mapping[int, int]) -> MixedPrecision:
        """The file with what was chosen, held against the float model."""
        chosen = {op.name: bits.get(op.index, 8) for op in self.ops}
        noise = sum(op.noise[bits.get(op.index, 8)] for op in self.found.ops)
        check = compare(self.expected, file.outputs(self.found.samples))
        refuse_broken("mixed precision", check)
        return MixedPrecision(Flatbuffer(file.content, check), chosen, noise)

    def within_bytes(self, budget: int) -> MixedPrecision:
        """The least damage in so many bytes."""
        if self.all_4.size > budget:
            raise ConversionError(
                f"no file fits {budget:,} bytes: with 4-bit weights wherever there are kernels it "
                f"has {self.all_4.size:,}"
            )
        spare = self.all_8.size - budget  # to be saved
        for _ in range(8):  # a file is aligned: what is saved may be a few bytes less
            bits = self.least_damage(spare)
            file = self.make(bits)
            if file.size <= budget:
                return self.result(file, bits)
            spare += file.size - budget
        bits = {op.index: 4 for op in self.free}
        return self.result(self.all_4, bits)

    def within_drop(self, drop: float, samples, labels) -> MixedPrecision:
        """The smallest file that loses no more than `drop` on the samples."""
        answers = _answers(Flatbuffer(self.found.content), samples)
        if labels is None:
            labels = answers
        else:
            labels = _check_labels(labels, answers, _classes(self.expected))
        float_accuracy = float(np.mean(answers == labels))
        best = None
        low, high = self.all_4.size, self.all_8.size
        for budget in (low, high, None, *[None] * _TRIES):
            budget = (low + high) // 2 if budget is None else budget
            tried = self.within_bytes(budget)
            accuracy = float(np.mean(_answers(tried.file, samples) == labels))
            if float_accuracy - accuracy <= drop + 1e-9:
                high = min(budget, tried.file.size)
                if best is None or tried.file.size < best.file.size:
                    best = replace(tried, accuracy=accuracy, float_accuracy=float_accuracy)
                if budget == self.all_4.size:
                    break
            elif budget == self.all_8.size:
                raise ConversionError(
                    f"8-bit weights everywhere lose {float_accuracy - accuracy:.4f} already, more "
                    f"than max_drop={drop}: another `estimator`, ek.adaround or "
                    "ek.quantize_aware keep more"
                )
            else:
                low = budget
        return best

    def least_damage(self, spare: int) -> dict[int, int]:
        """Bits that save at least `spare` bytes of weights."""
        from scipy.optimize import Bounds, LinearConstraint, milp

        if spare <= 0 or not self.free:
            return {op.index: 4 for op in self.free if op.noise[4] <= op.noise[8]}
        added = np.array([op.noise[4] - op.noise[8] for op in self.free])
        saved = np.array([_saved_bytes(op) for op in self.free])
        solution = milp(
            added / max(np.abs(added).max(), 1e-30),
            constraints=LinearConstraint(saved[None], lb=min(spare, saved.sum())),
            integrality=np.ones(len(added)),
            bounds=Bounds(0, 1),
        )
        return {
            op.index: 4 for op, chosen in zip(self.free, solution.x, strict=True) if chosen > 0.5
        }


def _saved_bytes(op: OpDamage) -> int:
    """What 4 bits save against 8."""
    return op.weights // 2


def _answers(file: Flatbuffer, samples) -> np.ndarray:
    found = next(iter(file.outputs(samples).values()))
    return found.reshape(len(found), -1).argmax(-1)


def _classes(outputs: Mapping[str, np.ndarray]) -> int:
    found = next(iter(outputs.values()))
    return found[0].size


def _check_labels(labels, answers: np.ndarray, classes: int) -> np.ndarray:
    labels = np.asarray(labels)
    if labels.shape not in (answers.shape, (*answers.shape, 1)):
        raise ValueError(
            f"`labels` must be one class for each of the {len(answers)} samples. Received shape "
            f"{labels.shape}"
        )
    numbers = np.issubdtype(labels.dtype, np.number)
    if not numbers or (labels != labels.astype(int)).any() or not _within(labels, classes):
        raise ValueError(
            f"`labels` must be classes from 0 to {classes - 1}. Received {labels.flat[0]}, …"
        )
    return labels.reshape(-1).astype(int)


def _within(labels: np.ndarray, classes: int) -> bool:
    return bool(labels.min() >= 0 and labels.max() < classes)


def _check_budget(max_bytes, max_drop) -> None:
    if (max_bytes is None) == (max_drop is None):
        raise ValueError(
            "give one of `max_bytes` and `max_drop`. Received: "
            f"max_bytes={max_bytes!r}, max_drop={max_drop!r}"
        )
    name, value = ("max_bytes", max_bytes) if max_drop is None else ("max_drop", max_drop)
    if isinstance(value, bool) or not isinstance(value, Real) or not value >= 0:
        raise ValueError(f"`{name}` must be a number from 0. Received: {name}={value!r}")
    if max_drop is not None and max_drop >= 1:
        raise ValueError(f"`max_drop` is a share: 0.01 is one point. Received: max_drop={max_drop}")

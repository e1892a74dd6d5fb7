"""`sensitivity`: which ops a model can least afford in few bits."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from converters.calibration import check_estimator
from converters.calibration.streams import CalibrationData
from converters.conversion import done_job
from converters.damage import SAMPLES
from converters.one_line import as_cell
from converters.signal_to_noise import decibel
from converters.source import Convertible, as_source

_BITS = (8, 4)


@dataclass(frozen=True)
class OpDamage:
    """An op, and what rounding it alone does.

    Attributes:
        index: Its place in the float flatbuffer.
        op: Its kind.
        name: The tensor it computes, named after the layer.
        weights: How many it has.
        noise: `{bits of its weights: noise over signal of the model's outputs}`; activations
            have 8 bits.
    """

    index: int
    op: str
    name: str
    weights: int
    noise: dict[int, float]

    def decibel(self, bits: int) -> float:
        """Signal to noise of the outputs with its weights in so many bits."""
        return decibel(self.noise[bits])


@dataclass(frozen=True)
class Sensitivity:
    """What rounding each op alone does to the model's outputs.

    Attributes:
        ops: In order of damage, the worst first.
        content: The float flatbuffer.
        ranges: `{tensor: (smallest, largest)}` of its activations.
        samples: `{input name: (samples, ...)}` that the ops were tried on.
    """

    ops: list[OpDamage]
    content: bytes = field(repr=False)
    ranges: dict[int, tuple[float, float]] = field(repr=False)
    samples: dict[str, np.ndarray] = field(repr=False)

    def table(self):
        """The ops as a `rich` table."""
        from rich import box
        from rich.table import Table

        widths = sorted({bits for op in self.ops for bits in op.noise}, reverse=True)
        titles = [f"{bits}-bit weights" for bits in widths]
        table = Table("op", "tensor", "weights", *titles, box=box.SIMPLE_HEAD)
        table.columns[1].overflow = "fold"
        for op in self.ops:
            cells = [f"{op.decibel(b):.1f} dB" if b in op.noise else "" for b in widths]
            table.add_row(op.op, as_cell(op.name), f"{op.weights:,}" if op.weights else "", *cells)
        return table

    def to_dict(self) -> dict:
        """The ops as JSON-ready values."""
        return {"ops": [vars(op) for op in self.ops]}


def sensitivity(
    model: Convertible,
    calibration: CalibrationData,
    bits: int | Sequence[int] = _BITS,
    estimator: str | Mapping[str, str] = "minmax",
) -> Sensitivity:
    """Rank the ops by the damage each does when it alone computes in integers.

    The float flatbuffer and the ranges are made once; then each op is quantised with all others
    in float, and the file is run on the first 64 samples.

    Example:
        >>> found = sensitivity(model, x_train[:200])
        >>> found.ops[0].name, found.ops[0].decibel(8)
        ('conv2d_3/convolution', 31.2)

    Args:
        model: As in `convert`.
        calibration: As in `convert`.
        bits: Of weights: 8, 4, or both; 4 is tried where there is a kernel for it. Defaults to
            `(8, 4)`.
        estimator: As in `convert`. Defaults to `"minmax"`.

    Raises:
        ValueError: Other bits, unusable samples, a quantised or quantisation-aware model.
        ConversionError: The model cannot be converted.
    """
    bits = sorted({bits} if isinstance(bits, int) else set(bits), reverse=True)
    if not bits or set(bits) - set(_BITS):
        raise ValueError(f"`bits` must be out of {_BITS}. Received: bits={bits!r}")
    check_estimator(estimator)
    source = as_source(model)
    if source.model is not None and any(
        hasattr(layer, "rounds") for layer in source.model._flatten_layers(include_self=False)
    ):
        raise ValueError("the model is quantisation-aware already: pass ek.strip(model)")
    if source.others:
        keys = ", ".join(repr(each.signature) for each in (source, *source.others))
        raise ValueError(
            f"the file has several signatures, {keys}: `sensitivity` compares the outputs of one. "
            f"Pass one of them alone, Flatbuffer.from_file(path).only({source.signature!r})"
        )
    job = {"bits": bits, "estimator": estimator, "quantization_aware": False}
    with done_job(source, job, calibration) as done:
        folder = done.folder
        found = json.loads((folder / "damage.json").read_text())
        ranges = dict(json.loads((folder / "ranges.json").read_text()))
        content = (folder / "countable.tflite").read_bytes()
        with np.load(folder / "calibration_0.npz") as loaded:
            samples = {name: loaded[name][:SAMPLES] for name in loaded.files}
    ops = [
        OpDamage(**{**op, "noise": {int(b): noise for b, noise in op["noise"].items()}})
        for op in found
    ]
    ops.sort(key=lambda op: max(op.noise.values()), reverse=True)
    return Sensitivity(ops, content, {t: tuple(r) for t, r in ranges.items()}, samples)

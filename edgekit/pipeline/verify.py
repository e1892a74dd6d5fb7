"""`verify`: does the file compute what the quantisation-aware model says."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import keras
import numpy as np

from converters import Flatbuffer
from converters.one_line import as_cell
from converters.samples import match_inputs
from edgekit.core.selection import all_layers
from edgekit.pipeline.rounded_tensors import inputs_of, matched, matched_by_grid, rounded_values
from edgekit.quantization import FakeQuantize
from edgekit.quantization.clipping import clipped_shares

# Comparing layer by layer keeps every tensor of so many samples.
_SAMPLES_PER_LAYER = 32
# Rounding differs in the last bit now and then; more than this is a departure.
_SHARE_BEYOND_ONE_STEP = 0.001
_SMALLEST_UNIT = 1e-37
# A range that clips a larger share of what reaches it is spoken of.
_CLIPPED_SHARE = 0.003
# What LiteRT says where its resolver has no kernel of an op.
_MISSING_OP = re.compile(r"Didn't find op for builtin opcode '(\w+)'")


@dataclass(frozen=True)
class Difference:
    """How far a tensor of the file is from what Keras computes, in steps of its integers.

    Args:
        name: Of the output; or of the layer that rounds the tensor, with the nested models and
            wrappers it is in before it, and which call it was if not the first.
        largest: The largest difference.
        mean: The mean difference.
        share_beyond_one: Share of the elements more than one step away, 0 to 1.
        step: Size of a step; None for a float tensor, whose differences are in units of a
            hundred thousandth of its range, or of its last two bits where these are more.
    """

    name: str
    largest: float
    mean: float
    share_beyond_one: float
    step: float | None

    @property
    def departs(self) -> bool:
        """Whether it is more than the last bit of some elements."""
        return self.share_beyond_one > _SHARE_BEYOND_ONE_STEP


@dataclass(frozen=True)
class Verification:
    """What `verify` found.

    Args:
        outputs: The model's outputs.
        layers: The rounded tensors inside, in the order in which they are computed.
        top1_agreement: Share of samples whose largest output is the same, 0 to 1; None where
            the model has several outputs or one that is no vector.
        kernels: The kernels that ran, `"reference"`, `"builtin"` or `"xnnpack"`.
        instead: Why these ran and not the ones asked for; None where they did.
        clipped: `{path of the rounding: share}` of the ranges that clip more than three in a
            thousand of the values that reach them, 0 to 1.
    """

    outputs: tuple[Difference, ...]
    layers: tuple[Difference, ...]
    top1_agreement: float | None
    kernels: str
    instead: str | None = None
    clipped: Mapping[str, float] = field(default_factory=dict)

    @property
    def exact(self) -> bool:
        """Whether at most one element in a thousand of each output is beyond one step."""
        return not any(output.departs for output in self.outputs)

    @property
    def first_departure(self) -> Difference | None:
        """The first layer whose values are more than one step away; if none, the first output.

        None where nothing departs, so never where `exact` is False.
        """
        return next((found for found in (*self.layers, *self.outputs) if found.departs), None)

    def summary(self) -> str:
        """The result in one line."""
        worst = max(self.outputs, key=lambda output: output.largest)
        parts = [
            f"largest difference {worst.largest:.2f} steps, mean {worst.mean:.3f}",
            f"{worst.share_beyond_one:.2%} beyond one step",
        ]
        if self.top1_agreement is not None:
            parts.append(f"top-1 agreement {self.top1_agreement:.2%}")
        parts.append(self._departures())
        if self.clipped:
            worst_range = max(self.clipped, key=self.clipped.get)
            parts.append(f"{worst_range} clips {self.clipped[worst_range]:.1%} of its values")
        if self.instead:
            parts.append(f"by LiteRT's {self.kernels} kernels: {self.instead}")
        return ", ".join(parts)

    def _departures(self) -> str:
        first = self.first_departure
        if first is None:
            return "no layer departs"
        if not any(layer.departs for layer in self.layers):
            grid = "" if first.step else ", which is float in the file"
            return f"first departs at the output {first.name}{grid}"
        if self.exact:
            return f"no output departs (inside, {first.share_beyond_one:.2%} of {first.name})"
        return f"first departs at {first.name}"

    def table(self):
        """Outputs and layers as a `rich` table."""
        from rich import box
        from rich.table import Table

        table = Table("tensor", "largest", "mean", "beyond one step", "", box=box.SIMPLE_HEAD)
        for row in (*self.layers, *self.outputs):
            mark = "departs" if row.departs else ""
            share = f"{row.share_beyond_one:.2%}"
            table.add_row(as_cell(row.name), f"{row.largest:.2f}", f"{row.mean:.4f}", share, mark)
        return table


def verify(
    qat_model: keras.Model,
    flatbuffer: Flatbuffer | str | os.PathLike,
    x,
    kernels: str = "reference",
) -> Verification:
    """Compare a quantisation-aware model with the file made from it, tensor by tensor.

    Example:
        >>> found = ek.verify(qat, ek.convert(qat, "int8")["int8"], x_test[:200])
        >>> print(found.summary())
        largest difference 1.00 steps, mean 0.004, 0.00% beyond one step, …
        >>> found.first_departure

    Args:
        qat_model: A trained model from `ek.quantize_aware`.
        flatbuffer: The file, or its path.
        x: Samples like those the model sees: `(samples, ...)`, or one array per input as a
            dict by name or a list. Layers are compared on the first 32.
        kernels: `"reference"`, what microcontrollers follow; where there is none of an op,
            LiteRT's own (`"builtin"`) run instead, which the result says. Or `"builtin"` or
            `"xnnpack"`. Defaults to `"reference"`.

    Returns:
        The differences in units of each tensor's step, the top-1 agreement, the layer or output
        where values first depart, and the ranges that clip much of what reaches them.

    Raises:
        ValueError: The model is not quantisation-aware, the file is none of it, or the samples
            do not fit.
    """
    if not isinstance(qat_model, keras.Model) or not any(
        isinstance(layer, FakeQuantize) for layer in all_layers(qat_model)
    ):
        raise ValueError("`qat_model` must be a Functional model from ek.quantize_aware")
    if not isinstance(flatbuffer, Flatbuffer):
        flatbuffer = Flatbuffer.from_file(flatbuffer)
    names = list(flatbuffer.input_shapes)
    by_name = {t._keras_history.operation.name: t for t in qat_model.inputs}
    keras_names = [next((k for k in by_name if _same(k, n)), None) for n in names]
    if None in keras_names or len(names) != len(by_name):
        raise ValueError(f"the file's inputs {names} are not those of the model, {list(by_name)}")
    own = dict(zip(by_name, (names[keras_names.index(k)] for k in by_name), strict=True))
    shapes = {own[k]: flatbuffer.input_shapes[own[k]] for k in by_name}
    arrays = match_inputs(x, shapes, "x", in_order=True)
    expected = qat_model.predict(inputs_of(qat_model, [arrays[own[k]] for k in by_name]), verbose=0)
    few = {name: array[:_SAMPLES_PER_LAYER] for name, array in arrays.items()}
    ran, instead = _kernels_that_run(flatbuffer, few, kernels)
    outputs, agreement = _compare_outputs(flatbuffer, expected, arrays, ran)
    inputs = inputs_of(qat_model, [few[own[k]] for k in by_name])
    layers = _compare_layers(qat_model, flatbuffer, inputs, few, ran)
    shares = clipped_shares(qat_model, inputs)
    clipped = {path: share for path, share in shares.items() if share > _CLIPPED_SHARE}
    return Verification(tuple(outputs), tuple(layers), agreement, ran, instead, clipped)


def _kernels_that_run(flatbuffer, arrays, kernels: str) -> tuple[str, str | None]:
    """The kernels asked for, or LiteRT's own where the reference kernels lack an op, and why."""
    if kernels != "reference":
        return kernels, None
    try:
        flatbuffer.outputs(
            {name: array[: _batch(flatbuffer)] for name, array in arrays.items()}, kernels
        )
    except ValueError as error:
        missing = _MISSING_OP.search(str(error))
        if not missing:
            raise
        return "builtin", f"there is no reference kernel of {missing.group(1)}"
    return kernels, None


def _batch(flatbuffer) -> int:
    return next(iter(flatbuffer.input_shapes.values()))[0]


def _compare_outputs(flatbuffer, expected, arrays, kernels):
    from converters import inspect

    steps = {edge.name: edge.scale for edge in inspect(flatbuffer).outputs}
    found = flatbuffer.predict(arrays, kernels=kernels)
    if not isinstance(found, dict):
        found = {next(iter(steps)): found}
    if not isinstance(expected, dict):
        flat = keras.tree.flatten(expected)
        expected = {f"output_{i}": value for i, value in enumerate(flat)}
    if set(expected) != set(found):
        raise ValueError(
            f"the file's outputs {sorted(found)} are not those of the model, {sorted(expected)}"
        )
    differences = [_difference(n, expected[n], found[n], steps[n]) for n in expected]
    agreement = None
    if len(expected) == 1:
        (name,) = expected
        values = expected[name]
        if values.ndim == 2 and values.shape[1] > 1:
            agreement = float(np.mean(values.argmax(1) == found[name].argmax(1)))
    return differences, agreement


def _compare_layers(model, flatbuffer, inputs, arrays, kernels) -> list[Difference]:
    roundings = rounded_values(model, inputs)
    tensors = flatbuffer.tensors(arrays, kernels=kernels)
    names = matched(roundings, {name: tensor.values for name, tensor in tensors.items()})
    names = matched_by_grid(roundings, names, tensors)
    return [
        _difference(
            rounding.name,
            rounding.values,
            tensors[name].values.reshape(rounding.values.shape),
            tensors[name].scale,
        )
        for rounding, name in zip(roundings, names, strict=True)
        if name is not None
    ]


def _difference(name, expected, found, step) -> Difference:
    if found.shape != expected.shape:
        raise ValueError(f"{name}: the file gives {found.shape}, the model {expected.shape}")
    found, expected = found.astype("float64"), expected.astype("float64")
    same = (found == expected) | (np.isnan(found) & np.isnan(expected))
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        steps = np.where(same, 0.0, np.abs(found - expected) / (step or _float_unit(expected)))
    steps[np.isnan(steps)] = np.inf  # one of both is NaN
    beyond = float(np.mean(steps > 1.01))
    return Difference(name, float(steps.max()), float(steps.mean()), beyond, step)


def _float_unit(expected) -> float:
    """What the values of a float tensor may be off by: float32 holds 24 bits of each."""
    finite = expected[np.isfinite(expected)]
    if not finite.size:
        return _SMALLEST_UNIT
    return max(float(np.ptp(finite)) * 1e-5, float(np.abs(finite).max()) * 2**-22, _SMALLEST_UNIT)


def _same(keras_name: str, signature_name: str) -> bool:
    return re.sub(r"\W", "_", keras_name) == signature_name

"""What LiteRT's kernels compute otherwise than by rounding their exact result once.

XNNPACK's where it has a kernel, as on phones; else LiteRT's own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import keras
import numpy as np
from keras import ops

from edgekit.quantization.input_grids import Rounding, outputs_inside, rounding_before
from edgekit.quantization.policy import activation_of

# XNNPACK counts the factor between two grids in 1/256, and has no kernel beyond these.
_COARSE, _LEAST_FACTOR, _MOST_FACTOR = 256.0, 2.0**-8, 2.0**7
# Lifts a tie of such a kernel above what float32 makes of it, and nothing else.
_SHARE_OF_STEP = 1e-3
# Of `keras.activations.leaky_relu`, below zero.
_SLOPE = 0.2
# LiteRT's tables of 16-bit functions: values at so many places, and lines between them.
_PLACES, _BETWEEN = 512, 128
_SMALLEST_16, _LARGEST_16 = -32768, 32767
# The largest integer of a number that a product has for a factor.
_LARGEST = 127


class Arithmetic(Protocol):
    """What a kernel makes of exact results, before they are rounded to its output's grid."""

    def __call__(self, values: Any, low: Any, high: Any) -> Any:
        """The values, float32, on the way to a grid from `low` to `high`."""


def arithmetic_of(tensor: Any, bits: int) -> Arithmetic | None:
    """What the kernel does that computes a symbolic tensor; None where it rounds once.

    Args:
        tensor: What is about to be rounded.
        bits: To integers of which width.
    """
    operation, index, place = tensor._keras_history
    source = rounding_before(tensor)
    if source is not None:
        return _moved(source, bits)
    nodes, name = operation._inbound_nodes, type(operation).__name__
    inside = outputs_inside(operation)
    if inside is not None:  # of several calls, the ranges in there are of the one that runs
        return arithmetic_of(inside[place], bits) if len(nodes) == 1 else None
    inputs = nodes[index].input_tensors if nodes else []
    if name == "Concatenate":
        return _joined(operation, inputs, bits)
    if name == "Pad":  # with a value, which needs no arithmetic
        return arithmetic_of(inputs[0], bits)
    sources = [rounding_before(t) for t in inputs]
    known = [each for each in sources if each is not None]
    if name in ("Add", "Multiply", "Subtract"):
        if bits == 8 and any(each.bits == 16 for each in known):
            return Narrowed()
        return _product(nodes[index], sources) if (name, bits) == ("Multiply", 8) else None
    if name == "Rsqrt" and bits == 16 and known and known[0].bits == 16:
        return InverseRoot(known[0])
    return _leaky(operation, known, bits)


def step_between(low: Any, high: Any, bits: int) -> Any:
    """The step of integers from `low` to `high`, as the file has it: float32, to the last bit."""
    if keras.backend.backend() == "tensorflow":
        low, high = ops.cast(low, "float64"), ops.cast(high, "float64")
    return ops.cast((high - low) / (2**bits - 1), "float32")


@dataclass(frozen=True)
class Moved:
    """A value on one 8-bit grid moved to another, by XNNPACK's coarse factor.

    Args:
        source: What put it on the first grid.

    Source: XNNPACK, src/microparams-init.c, qs8_cvt.
    """

    source: Rounding

    def __call__(self, values, low, high):
        step = (high - low) / 255
        factor = _coarse(self.source.step() / step)
        return values * factor + _SHARE_OF_STEP * step


@dataclass(frozen=True)
class Leaky:
    """A leaky ReLU, with a coarse factor for each sign.

    Args:
        source: What put its input on its grid.
        slope: Below zero; positive.

    Source: XNNPACK, src/microparams-init.c, qs8_lrelu.
    """

    source: Rounding
    slope: float

    def __call__(self, values, low, high):
        step = (high - low) / 255
        ratio = self.source.step() / step
        factor = ops.where(values > 0, _coarse(ratio), _coarse(ratio * self.slope))
        return values * factor + _SHARE_OF_STEP * step


@dataclass(frozen=True)
class Product:
    """A product of 8-bit integers, brought to its grid by a float32 factor; ties go to even ones.

    Args:
        sources: What put the factors on their grids; one, or two.
        constant: The step of the other factor, a number. Defaults to `None`: there are two.

    Source: XNNPACK, src/microparams-init.c, qs8_mul_minmax; src/qs8-vmul, qs8-vmulc.
    """

    sources: Sequence[Rounding]
    constant: float | None = None

    def __call__(self, values, low, high):
        step = step_between(low, high, 8)
        steps = [source.step() for source in self.sources]
        unit = steps[0] * (steps[1] if self.constant is None else self.constant)
        integers = ops.round(values / ops.where(unit > 0, unit, 1.0))
        return ops.where(unit > 0, ops.round(integers * (unit / step)) * step, values)


@dataclass(frozen=True)
class Narrowed:
    """The result of 16-bit integers in 8 bits; rounded to 16 bits over its range first.

    Args:
        source: What put the value on a 16-bit grid. Defaults to `None`: the kernel itself does,
            over the range of the 8-bit grid.

    Source: LiteRT, kernels/internal/reference/requantize.h.
    """

    source: Rounding | None = None

    def __call__(self, values, low, high):
        step = (high - low) / 255
        if self.source is None:
            lowest = ops.floor(-low / step + 0.5) * step
            fine = ops.maximum(lowest, 255 * step - lowest) / _LARGEST_16
        else:
            fine = self.source.step()
            fine = ops.where(fine > 0, fine, step)
        return _rounded_twice(ops.floor(values / fine + 0.5), fine / step) * step


@dataclass(frozen=True)
class InverseRoot:
    """The inverse root of 16-bit integers, from a table of 513 values.

    Args:
        source: What put its input on its grid.

    Source: LiteRT, kernels/internal/common.h, LUTPopulate and LUTLookup.
    """

    source: Rounding

    def __call__(self, values, low, high):
        step, input_step = (high - low) / (2**16 - 1), self.source.step()
        input_step = ops.where(input_step > 0, input_step, 1.0)
        largest = _LARGEST_16 * step
        positions = ops.round(1 / (ops.square(values) * input_step))
        # There is no root of what is below zero.
        positions = ops.where(positions > 0, ops.minimum(positions, _LARGEST_16), 0.0)
        positions = ops.cast(positions, "int32")
        first = _SMALLEST_16 * input_step
        size = (2**16 - 1) * input_step / _PLACES

        def at(place):
            x = first + place * size
            root = ops.where(x > 0, ops.rsqrt(ops.maximum(x, 1e-37)), largest)
            return root / step * (2**16 / (2**16 - 1))  # as LiteRT scales it

        places = ops.arange(_PLACES + 1, dtype="float32")
        exact, middle = _half_away(at(places)), _half_away(at(places + 0.5))
        line = _half_away((at(places + 1) + exact) / 2)
        table = exact - _half_away((line - middle) / 2)
        table = ops.where(places < _PLACES, table, exact)
        table = ops.cast(ops.clip(table, _SMALLEST_16, _LARGEST_16), "int32")
        index, beyond = _PLACES // 2 + positions // _BETWEEN, positions % _BETWEEN
        base = ops.take(table, index)
        rise = (ops.take(table, index + 1) - base) * beyond + _BETWEEN // 2
        return ops.cast(base + ops.floor_divide(rise, _BETWEEN), "float32") * step


@dataclass(frozen=True)
class Joined:
    """What is concatenated, each part by the kernel that brings it to the common grid.

    Args:
        parts: What each part's kernel does.
        sizes: Of the parts along the axis.
        axis: The axis.
    """

    parts: Sequence[Arithmetic | None]
    sizes: Sequence[int]
    axis: int

    def __call__(self, values, low, high):
        ends = [sum(self.sizes[: i + 1]) for i in range(len(self.sizes) - 1)]
        pieces = ops.split(values, ends, axis=self.axis)
        done = [
            piece if part is None else part(piece, low, high)
            for part, piece in zip(self.parts, pieces, strict=True)
        ]
        return ops.concatenate(done, axis=self.axis)


def _moved(source, bits) -> Arithmetic | None:
    if bits != 8:
        return None
    return Moved(source) if source.bits == 8 else Narrowed(source)


def _product(node, sources) -> Product | None:
    if None in sources:
        return None
    others = [each for each in keras.tree.flatten(node.arguments.args) if _is_number(each)]
    if len(sources) == 2 and not others:
        return Product(sources)
    if len(sources) != 1 or len(others) != 1 or not others[0]:
        return None
    return Product(sources, float(np.float32(abs(float(others[0])) / _LARGEST)))


def _is_number(value) -> bool:
    return isinstance(value, (int, float, np.number))


def _joined(operation, inputs, bits) -> Joined | None:
    parts = [arithmetic_of(t, bits) for t in inputs]
    sizes = [t.shape[operation.axis] for t in inputs]
    if None in sizes or all(part is None for part in parts):
        return None
    return Joined(parts, sizes, operation.axis)


def _leaky(operation, known, bits) -> Leaky | None:
    if bits != 8:
        return None
    before = getattr(operation, "before_activation", None)  # of a layer with its activation
    if before is not None and len(operation._inbound_nodes) == 1:
        operation, known = operation.plain_activation, [before]
    if activation_of(operation) != "leaky_relu" or not known or known[0].bits != 8:
        return None
    slope = getattr(operation, "negative_slope", _SLOPE)
    return Leaky(known[0], float(slope)) if slope > 0 else None


def _coarse(ratio):
    """What XNNPACK multiplies with, over what it should."""
    within = ops.logical_and(ratio >= _LEAST_FACTOR, ratio < _MOST_FACTOR)
    return ops.where(within, ops.round(_COARSE * ratio) / (_COARSE * ratio), 1.0)


def _rounded_twice(integers, ratio):
    """`integers * ratio` as LiteRT's own kernels round it: first to a fraction of a step."""
    exponent = ops.floor(ops.log(ratio) / ops.log(2.0)) + 1
    parts = ops.power(2.0, ops.maximum(-exponent, 0.0))
    return _half_away(ops.floor(integers * (ratio * parts) + 0.5) / parts)


def _half_away(values):
    """The nearest integers; ties go away from zero."""
    return ops.sign(values) * ops.floor(ops.abs(values) + 0.5)

"""What a computed output ends in: a softmax or sigmoid behind whatever moves or rounds values."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from edgekit.core.unrounded import unrounded
from edgekit.distillation.class_axes import ClassAxes
from edgekit.distillation.computation import Computation, Computed, recording
from edgekit.distillation.value_moves import CHOICES, MOVES, Move, moved_classes, probed

SOFTMAX, LOG_SOFTMAX, SIGMOID, LINEAR = "softmax", "log_softmax", "sigmoid", "linear"
_ENDS = {"Softmax": SOFTMAX, "LogSoftmax": LOG_SOFTMAX, "Sigmoid": SIGMOID}
# What leaves every value as it is, but for its rounding.
_KEEPS = {
    "Identity",
    "IdentityN",
    "StopGradient",
    "PreventGradient",
    "CheckNumerics",
    "EnsureShape",
    "Snapshot",
    "Cast",
    "FakeQuantWithMinMaxArgs",
    "FakeQuantWithMinMaxVars",
    "FakeQuantWithMinMaxVarsPerChannel",
    "QuantizeAndDequantizeV2",
    "QuantizeAndDequantizeV3",
    "QuantizeAndDequantizeV4",
}
# Means of probabilities are probabilities, of which the logits are lost.
_MEANS = {
    "Mean": Move(
        lambda v, o: tf.raw_ops.Mean(
            input=v[0], axis=o.inputs[1], keep_dims=o.attributes.get("keep_dims", False)
        )
    ),
    "AvgPool": Move(
        lambda v, o: tf.raw_ops.AvgPool(
            value=v[0],
            **{name: o.attributes[name] for name in ("ksize", "strides", "padding", "data_format")},
        )
    ),
    "ResizeBilinear": Move(
        lambda v, o: tf.raw_ops.ResizeBilinear(
            images=v[0],
            size=o.inputs[1],
            align_corners=o.attributes["align_corners"],
            half_pixel_centers=o.attributes["half_pixel_centers"],
        )
    ),
}
# Where they keep values from 0 to 1 as they are, as `clip(p, 1e-7, 1 - 1e-7)` does.
_BOUNDS = {"Maximum": (0.0, 0.01), "Minimum": (0.99, 1.0)}
_RECORDED = {
    *MOVES,
    *CHOICES,
    *_MEANS,
    *_KEEPS,
    *_ENDS,
    *_BOUNDS,
    "ClipByValue",
    "SelectV2",
    "Mul",
    "Sub",
}
# No values from 0 to 1 come out of these but by chance.
_WEIGHING = {"MatMul", "BatchMatMulV2", "BatchMatMulV3", "Einsum", "Placeholder", "Const"}
# What may keep values between 0 and 1 on its own.
_BOUNDED = {"Sigmoid", "Softmax", "Exp", "Tanh", "Erf", "ClipByValue", "Relu6", "Reciprocal"}
# What may bring values to a sum, beside these: p / sum(p), or what is above a threshold.
_NORMALIZING = {"RealDiv", "Div", "DivNoNan", "Relu", "Maximum"}
# What does not show what it computes.
_OPAQUE = {"PartitionedCall", "StatefulPartitionedCall", "While", "StatelessWhile", "If"}
_OPAQUE |= {"StatelessIf", "Case", "StatelessCase", "PyFunc", "EagerPyFunc", "XlaCallModule"}


@dataclass(frozen=True)
class Ending:
    """What an output has been through.

    Attributes:
        kind: `"softmax"`, `"log_softmax"`, `"sigmoid"`; `"linear"` of parts that end differently.
        classes: Where those of a softmax run in the output; None of all others.
        logits: What the activation was applied to, moved as the output was; None where these are
            lost.
    """

    kind: str
    classes: ClassAxes | None = None
    logits: Any = None


@contextmanager
def watching() -> Iterator[Computation]:
    """Within it what a model computes is kept, as far as `ending_of` needs it."""
    with recording(_RECORDED) as computation:
        yield computation


def ending_of(output: Any, computation: Computation, located: bool = True) -> Ending | None:
    """What an output ends in; None where no activation is found.

    Args:
        output: A tensor.
        computation: In which it was computed.
        located: Whether the classes of a softmax have to be found in the output. Defaults to
            `True`.
    """
    return _Walk(computation, located).ending(output)


def kinds_behind(output: Any, computation: Computation) -> set[str]:
    """The kinds of operations that made an output of what was last weighed, or of the inputs.

    Args:
        output: A tensor.
        computation: In which it was computed.
    """
    pending, seen, kinds = [output], set(), set()
    while pending:
        tensor = pending.pop()
        operation = computation.behind(tensor)
        if id(tensor) in seen or operation is None:
            continue
        seen.add(id(tensor))
        kind = operation.kind
        if kind not in _WEIGHING and "Conv" not in kind and "BatchNorm" not in kind:
            kinds.add(kind)
            # Loops hand lists of tensors on as variants.
            pending += [t for t in operation.inputs if t.dtype.is_floating or t.dtype == tf.variant]
    return kinds


def may_be_bounded(kinds: set[str]) -> bool:
    """Whether operations of these kinds may keep values in 0 to 1; of functions nobody knows."""
    return bool(kinds & (_BOUNDED | _OPAQUE))


def may_be_normalized(kinds: set[str]) -> bool:
    """Whether operations of these kinds may bring values to a sum of 1."""
    return may_be_bounded(kinds) or bool(kinds & _NORMALIZING)


class _Walk:
    """From an output back to its activation, and from its logits forward again."""

    def __init__(self, computation: Computation, located: bool):
        self._computation, self._located = computation, located
        self._found: dict[int, Ending | None] = {}

    def ending(self, tensor) -> Ending | None:
        if id(tensor) not in self._found:
            self._found[id(tensor)] = self._ending(tensor)
        return self._found[id(tensor)]

    def _ending(self, tensor) -> Ending | None:
        values = unrounded(tensor)
        if values is not None:
            return self.ending(values)
        operation = self._computation.behind(tensor)
        if operation is None:
            return None
        if operation.kind in _ENDS:
            return self._activation(operation, tensor)
        kept = _kept(operation)
        if kept is None:
            kept = _before_dropout(operation, self._computation)
        if kept is not None:
            return self.ending(kept)
        if operation.kind in MOVES:
            return self._moved(operation, tensor)
        if operation.kind in CHOICES:
            return self._chosen(operation)
        if operation.kind == "Sub":
            return self._opposite(operation)
        return self._mean(operation, tensor) if operation.kind in _MEANS else None

    def _activation(self, operation: Computed, tensor) -> Ending:
        kind, logits = _ENDS[operation.kind], operation.inputs[0]
        if kind == SIGMOID or not self._located:
            return Ending(kind, None, logits)
        return Ending(kind, ClassAxes.along(-1, tensor.shape.as_list()), logits)

    def _moved(self, operation: Computed, tensor) -> Ending | None:
        move = MOVES[operation.kind]
        parts = [self.ending(values) for values in move.values(operation)]
        kinds = {part.kind if part else None for part in parts}
        if kinds == {None}:
            return None
        if len(kinds) > 1 or kinds == {LINEAR}:
            return Ending(LINEAR)
        kind, classes, logits = parts[0].kind, None, None
        if self._located and kind != SIGMOID:
            classes = moved_classes(operation, [part.classes for part in parts], tensor.shape)
            if classes is None:
                return Ending(LINEAR) if len(parts) > 1 else None
        if all(part.logits is not None for part in parts):
            logits = move.again([_float32(part.logits) for part in parts], operation)
        return Ending(kind, classes, logits)

    def _chosen(self, operation: Computed) -> Ending | None:
        part = self.ending(operation.inputs[0])
        if part is None or part.kind != SIGMOID:
            return None
        logits = part.logits
        if logits is not None:
            logits = CHOICES[operation.kind].again([_float32(logits)], operation)
        return Ending(SIGMOID, None, logits)

    def _opposite(self, operation: Computed) -> Ending | None:
        """1 - p, of which the logit is that of p with the other sign."""
        one, part = tf.get_static_value(operation.inputs[0]), self.ending(operation.inputs[1])
        if one is None or not (one == 1).all() or part is None or part.kind != SIGMOID:
            return None
        return Ending(SIGMOID, None, None if part.logits is None else -_float32(part.logits))

    def _mean(self, operation: Computed, tensor) -> Ending | None:
        part, classes = self.ending(operation.inputs[0]), None
        if part is None or part.kind not in (SIGMOID, SOFTMAX):
            return None
        if self._located and part.kind == SOFTMAX:
            classes = probed(_MEANS[operation.kind], operation, part.classes, tensor.shape)
            if classes is None:
                return None
        return Ending(part.kind, classes)


def _kept(operation: Computed):
    """The input whose values an operation gives; None where it is none of that kind."""
    inputs = operation.inputs
    if operation.kind in _KEEPS:
        return inputs[operation.place]
    if operation.kind in _BOUNDS:
        low, high = _BOUNDS[operation.kind]
        for values, bound in (inputs, inputs[::-1]):
            limit = tf.get_static_value(bound)
            if limit is not None and low <= limit.min() and limit.max() <= high:
                return values
    if operation.kind == "ClipByValue":
        low, high = (tf.get_static_value(bound) for bound in inputs[1:])
        known = low is not None and high is not None
        if known and 0 <= low.min() <= low.max() <= 0.01 and 0.99 <= high.min() <= high.max() <= 1:
            return inputs[0]
    return None


def _before_dropout(operation: Computed, computation: Computation):
    """What training drops some values of, and scales the others; None of any other choice."""
    if operation.kind != "SelectV2":
        return None
    _, scaled, dropped = operation.inputs
    zero, scaling = tf.get_static_value(dropped), computation.behind(scaled)
    if zero is None or zero.any() or scaling is None or scaling.kind != "Mul":
        return None
    scale = tf.get_static_value(scaling.inputs[1])
    return scaling.inputs[0] if scale is not None and scale.size == 1 else None


def _float32(values):
    return tf.cast(values, tf.float32)

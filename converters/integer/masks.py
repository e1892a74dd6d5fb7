"""What a mask puts before a softmax, as -1e9: made as low as it has to be, and no lower."""

import math
from collections.abc import Iterable, Mapping

import numpy as np

from converters.integer.file import FlatFile
from converters.integer.kernels import KERNELS, Rule

Ranges = dict[int, tuple[float, float]]

# What is this much below zero or more, picked or added before a softmax, is a mask's.
_HIDES = -100.0
# A mask that is added covers so many times the range that its scores need.
_MANY = 4.0
# What an 8-bit ADD can add to scores without losing their steps; it hides all the same.
_LOWEST_SUMMAND = -1024.0
_LOWEST = -1e9
_SELECTS = ("SELECT", "SELECT_V2")


def hide_by_constants(file: FlatFile) -> bool:
    """Let masks put constants before a softmax; whether there was anything to change.

    `where(mask, x - 1e9, x)`, which Keras's Attention computes, is `where(mask, -1e9, x)`: in
    float32 nothing of `x` is left. Minus infinity becomes as low a number as the others use.

    Args:
        file: A float flatbuffer; it is changed.
    """
    graph, changed = _Graph(file), False
    for op in file.graph.operators:
        if file.op_name(op) not in (*_SELECTS, "ADD") or not graph.feeds_softmax(op):
            continue
        inputs = list(map(int, op.inputs))
        for slot, tensor in enumerate(inputs):
            low = graph.shifted_down(tensor, inputs) if _by_element(file, op) else None
            constant = file.constant(tensor) if file.dtype(tensor) == "float32" else None
            if low is not None:
                inputs[slot] = _scalar(file, tensor, low)
            elif constant is not None and np.isneginf(constant).any():
                inputs[slot] = _constant(file, tensor, np.maximum(constant, _LOWEST))
            if inputs[slot] != tensor:
                changed = True
                _broadcast(file, op)
        op.inputs = np.array(inputs, "int32")
    return changed


def with_masks_in_reach(
    file: FlatFile, ranges: Mapping[int, tuple[float, float]], dtype: str
) -> Ranges:
    """The ranges, where what a mask picks or adds before a softmax is just low enough.

    What is added is scaled down to where an integer ADD still holds the scores beside it.

    Args:
        file: A float flatbuffer; constants of masks in it are changed.
        ranges: `{tensor: (smallest, largest)}`.
        dtype: Of the activations.
    """
    found, graph = dict(ranges), _Graph(file)
    added: dict[int, list] = {}  # where a summand comes from -> the ops that add it
    for op in file.graph.operators:
        name = file.op_name(op)
        if name not in (*_SELECTS, "ADD", "SUB") or not graph.feeds_softmax(op):
            continue
        output = int(op.outputs[0])
        if output not in ranges:
            continue
        low, high = ranges[output]
        reach = _reach(file, output, dtype)
        if name in _SELECTS:
            sources = [ranges[int(t)][0] for t in op.inputs if int(t) in ranges]
            if sources:
                found[output] = max(low, min(sources) - reach), high
            continue
        scores, summand = graph.summands(op, ranges, reach)
        if summand is not None:
            _, top = graph.range_of(summand, ranges)
            shown = ranges[scores][0] + (top if name == "ADD" else 0.0)
            found[output] = max(low, shown - reach), high
            added.setdefault(graph.origin(summand), []).append(op)
    for origin, adding in added.items():
        _bring_near(graph, origin, adding, found)
    return found


def _bring_near(graph: "_Graph", origin: int, adding: list, ranges: Ranges) -> None:
    """Scale down what the ops add, if they are all that reads it."""
    file = graph.file
    constant = file.constant(origin)
    lowest = min(graph.range_of(origin, ranges), key=lambda end: -abs(end))
    factor = _LOWEST_SUMMAND / -abs(lowest)
    if factor >= 1:
        return
    if constant is not None:
        near = _constant(file, origin, np.maximum(constant, _LOWEST_SUMMAND))
        for op in adding:
            op.inputs = np.where(op.inputs == origin, near, op.inputs).astype("int32")
        return
    if not graph.read_only_by(origin, adding):
        return
    edits: list[tuple] = []
    if origin in set(map(int, file.graph.inputs)):
        low, high = ranges[origin]  # the edge clips to it
        ranges[origin] = max(low, _LOWEST_SUMMAND), min(high, -_LOWEST_SUMMAND)
    elif graph.scaled(origin, factor, edits):
        for op, slot, values in edits:
            inputs = op.inputs.copy()
            inputs[slot] = _constant(file, int(inputs[slot]), values)
            op.inputs = inputs
        for tensor in {int(t) for op, *_ in edits for t in op.outputs}:
            low, high = ranges[tensor]
            ranges[tensor] = low * factor, high * factor
    moved = ranges[origin]
    ranges.update({t: moved for t in graph.views_of(origin) if t in ranges})


def _reach(file: FlatFile, tensor: int, dtype: str) -> float:
    """How far below every score what is hidden has to be.

    All that is hidden in a row together gets half a step of the softmax at most.
    """
    shape, bits = file.graph.tensors[tensor].shape, int(dtype.removeprefix("int"))
    return math.log(2 ** (bits + 1) * max(int(shape[-1]) if len(shape) else 1, 1))


class _Graph:
    """Who reads and who makes the tensors of a file."""

    def __init__(self, file: FlatFile):
        self.file = file
        self.outputs = set(map(int, file.graph.outputs))
        self.made_by = {int(t): op for op in file.graph.operators for t in op.outputs}
        self.readers: dict[int, list] = {}
        for op in file.graph.operators:
            for tensor in map(int, op.inputs):
                self.readers.setdefault(tensor, []).append(op)

    def feeds_softmax(self, op) -> bool:
        """Whether nothing but a softmax reads what the op computes."""
        (tensor, *_) = map(int, op.outputs)
        found = self.readers.get(tensor, [])
        if not found or tensor in self.outputs:
            return False
        return all(
            self.file.op_name(reader) == "SOFTMAX"
            or (self._is_view(reader) and self.feeds_softmax(reader))
            for reader in found
        )

    def shifted_down(self, tensor: int, others: Iterable[int]) -> float | None:
        """The constant that is added to one of the others to make the tensor, if it hides."""
        op = self.made_by.get(tensor)
        if op is None or self.file.op_name(op) not in ("ADD", "SUB"):
            return None
        first, second = map(int, op.inputs)
        sign = -1.0 if self.file.op_name(op) == "SUB" else 1.0
        for values, shift in ((first, second), (second, first))[: 1 if sign < 0 else 2]:
            constant = self.file.constant(shift)
            if values in others and constant is not None and constant.size == 1:
                low = sign * float(constant.item())
                return low if low <= -1e6 else None  # a float32 as large holds no scores
        return None

    def range_of(self, tensor: int, ranges: Mapping) -> tuple[float, float]:
        constant = self.file.constant(tensor)
        if constant is not None and constant.size:
            return float(constant.min()), float(constant.max())
        return ranges.get(tensor, (0.0, 0.0))

    def summands(self, op, ranges: Mapping, reach: float) -> tuple[int, int | None]:
        """The scores and what a mask adds to them; None where no mask does."""
        first, second = map(int, op.inputs)
        if self.file.op_name(op) == "SUB":
            pairs, sign = [(first, second)], -1.0
        else:
            pairs, sign = [(first, second), (second, first)], 1.0
        for scores, summand in pairs:
            ends = sorted(sign * end for end in self.range_of(summand, ranges))
            spread = np.ptp(ranges[scores]) if scores in ranges else np.inf
            if ends[0] <= min(_HIDES, -_MANY * (spread + reach)) and ends[1] <= 1.0:
                return scores, summand
        return first, None

    def origin(self, tensor: int) -> int:
        """The tensor whose values an op before this one moved."""
        op = self.made_by.get(tensor)
        return self.origin(int(op.inputs[0])) if op is not None and self._is_view(op) else tensor

    def views_of(self, tensor: int) -> list[int]:
        found = []
        for reader in self.readers.get(tensor, []):
            if self._is_view(reader):
                output = int(reader.outputs[0])
                found += [output, *self.views_of(output)]
        return found

    def read_only_by(self, tensor: int, ops: list) -> bool:
        """Whether no other op reads the tensor or a view of it."""
        tensors = [tensor, *self.views_of(tensor)]
        if self.outputs & set(tensors):
            return False
        known = set(map(id, ops))
        readers = [r for t in tensors for r in self.readers.get(t, []) if not self._is_view(r)]
        return all(id(reader) in known for reader in readers)

    def scaled(self, tensor: int, factor: float, edits: list) -> bool:
        """Whether constants can scale the tensor; `edits` get `(op, slot, values)` for it."""
        op = self.made_by.get(tensor)
        if op is None or len(self.readers.get(tensor, [])) > 1 and edits:
            return False
        name = self.file.op_name(op)
        constants = {
            slot: values
            for slot, t in enumerate(map(int, op.inputs))
            if self.file.dtype(t) == "float32" and (values := self.file.constant(t)) is not None
        }
        others = [
            int(t)
            for slot, t in enumerate(op.inputs)
            if slot not in constants and self.file.dtype(int(t)) == "float32"
        ]
        if name not in ("MUL", "ADD", "SUB", *_SELECTS) or not constants:
            return False
        if getattr(op.builtinOptions, "fusedActivationFunction", 0):
            return False
        edits += [(op, slot, values * np.float32(factor)) for slot, values in constants.items()]
        return name == "MUL" or all(self.scaled(other, factor, edits) for other in others)

    def _is_view(self, op) -> bool:
        """Whether the op moves the values of one tensor and changes none."""
        kernel = KERNELS.get(self.file.op_name(op))
        if kernel is None or kernel.rule != Rule.PICKS:
            return False
        return sum(self.file.dtype(int(t)) == "float32" for t in op.inputs if t >= 0) == 1


def _by_element(file: FlatFile, op) -> bool:
    """Whether the op selects, with a condition for each element rather than for rows."""
    ranks = [len(file.graph.tensors[int(t)].shape) for t in op.inputs[:2]]
    return file.op_name(op) == "SELECT_V2" or file.op_name(op) == "SELECT" and len({*ranks}) == 1


def _broadcast(file: FlatFile, op) -> None:
    """Let a SELECT take a single number."""
    if file.op_name(op) == "SELECT":
        op.opcodeIndex = file.new_op("SELECT_V2", [], []).opcodeIndex
        op.builtinOptionsType = file.schema.BuiltinOptions.SelectV2Options
        op.builtinOptions = file.schema.SelectV2OptionsT()


def _constant(file: FlatFile, like: int, values: np.ndarray) -> int:
    index = file.add_tensor(like, "float32")
    file.set_values(index, values.astype("float32"))
    return index


def _scalar(file: FlatFile, like: int, value: float) -> int:
    index = file.add_tensor(like, "float32")
    tensor = file.graph.tensors[index]
    tensor.shape, tensor.shapeSignature = np.zeros(0, "int32"), None
    tensor.name = tensor.name + b"/hidden"
    file.set_values(index, np.float32(value))
    return index

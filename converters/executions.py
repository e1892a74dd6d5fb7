"""How often each op of a model runs in one run of it: bodies of loops, branches, calls."""

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from converters.macs import multiply_accumulates, uncounted
from converters.model_info import ModelInfo, OpInfo, TensorInfo

_LOOPS = ("WHILE", "STABLEHLO_WHILE")


@dataclass(frozen=True)
class Work:
    """What a model computes in one run.

    Attributes:
        macs: Multiply-accumulates, zeros included.
        times: How often each op runs, by `OpInfo.index`. A loop's body runs as often as its
            condition says, once where that depends on data; of two branches the one of more
            multiply-accumulates runs, and what initializes variables does not.
        notes: What the count leaves out or takes for granted, in words.
    """

    macs: int
    times: Mapping[int, int]
    notes: tuple[str, ...]


def work(model: ModelInfo) -> Work:
    """What a model computes in one run, and how often each of its ops runs."""
    counted = _Count(model)
    counted.run(model.subgraph, 1, ())
    notes = [counted.notes[note] for note in sorted(counted.notes)]
    skipped = Counter(op.name for op in model.ops if uncounted(op))
    if skipped:
        listed = ", ".join(f"{count} {name}" for name, count in sorted(skipped.items()))
        notes.append(f"not counted: {listed}")
    if any(_has_open_size(op) and multiply_accumulates(op) for op in model.ops):
        notes.append("open sizes count as 1")
    macs = sum(counted.times[op.index] * multiply_accumulates(op) for op in model.ops)
    return Work(macs, dict(counted.times), tuple(notes))


def trip_count(model: ModelInfo, loop: OpInfo) -> int | None:
    """How often a `WHILE` runs its body; None where that depends on data.

    It is known where the condition compares counters with limits, all of them constants, and the
    body adds a constant to each counter.
    """
    condition, body = loop.calls
    steps = _Graph(model, body)
    limits = _limits(_Graph(model, condition), steps, loop)
    if limits is None:
        return None
    found = [_trips(*limit, steps) for limit in limits]
    known = [trips for trips in found if trips is not None]
    return min(known) if len(known) == len(found) and known else None


class _Count:
    def __init__(self, model: ModelInfo):
        self.model = model
        self.times: Counter = Counter({op.index: 0 for op in model.ops})
        self.notes: dict[str, str] = {}

    def run(self, graph: int, times: int, above: tuple[int, ...]) -> None:
        """Count the ops of a subgraph, and of those they call, `times` more."""
        if graph in above:  # a damaged file whose subgraphs call each other
            return
        inside = (*above, graph)
        for op in (op for op in self.model.ops if op.subgraph == graph):
            self.times[op.index] += times
            if op.name in _LOOPS:
                self._loop(op, times, inside)
            elif op.name == "IF":
                branch = max(op.calls, key=lambda number: self._macs(number, inside))
                if len({self._macs(number, inside) for number in op.calls}) > 1:
                    self.notes["if"] = "of two branches the larger counts"
                self.run(branch, times, inside)
            elif op.name in ("CALL", "STABLEHLO_COMPOSITE"):
                self.run(op.calls[0], times, inside)

    def _loop(self, op: OpInfo, times: int, inside: tuple[int, ...]) -> None:
        trips = trip_count(self.model, op) if op.name == "WHILE" else None
        condition, body = op.calls
        if trips is None and self._macs(body, inside):
            self.notes["loop"] = "a loop whose length depends on data counts as one step"
        self.run(condition, times * (2 if trips is None else trips + 1), inside)
        self.run(body, times * (1 if trips is None else trips), inside)

    def _macs(self, graph: int, above: tuple[int, ...]) -> int:
        """Multiply-accumulates of a subgraph and those it calls, for comparing."""
        inner = _Count(self.model)
        inner.run(graph, 1, above)
        return sum(inner.times[op.index] * multiply_accumulates(op) for op in self.model.ops)


class _Graph:
    """A subgraph in which values are followed back to inputs and constants."""

    def __init__(self, model: ModelInfo, number: int):
        self.inputs, self.outputs = model.called.get(number, ((), ()))
        self._made = {
            tensor.index: op
            for op in model.ops
            if op.subgraph == number
            for tensor in op.output_tensors
        }

    def maker(self, tensor: TensorInfo) -> OpInfo | None:
        """The op that computes a tensor; None for inputs and constants."""
        return self._made.get(tensor.index)

    def place(self, tensor: TensorInfo) -> int | None:
        """Which input of the subgraph a tensor is."""
        places = [i for i, given in enumerate(self.inputs) if given.index == tensor.index]
        return places[0] if places else None


def _limits(condition: _Graph, body: _Graph, loop: OpInfo) -> list[tuple[int, int, int]] | None:
    """`(place of the counter, start, limit)` of each comparison that the condition makes."""
    if not condition.outputs:
        return None
    found, todo = [], [condition.outputs[0]]
    while todo:
        op = condition.maker(todo.pop())
        if op is None:
            return None
        if op.name == "LOGICAL_AND":
            todo += op.input_tensors
            continue
        if op.name not in ("LESS", "GREATER", "LESS_EQUAL", "GREATER_EQUAL"):
            return None
        small, large = op.input_tensors
        if op.name.startswith("GREATER"):
            small, large = large, small
        place = condition.place(small)
        start = None if place is None else _number(loop.slots[place])
        limit = _value(condition.place(large), large, body, loop)
        if start is None or limit is None:
            return None
        found.append((place, start, limit + op.name.endswith("_EQUAL")))
    return found


def _trips(place: int, start: int, limit: int, body: _Graph) -> int | None:
    """Steps of a counter from `start` to `limit`, by what the body adds to it."""
    if place >= len(body.outputs):
        return None
    op = body.maker(body.outputs[place])
    while op is not None and op.name in ("RESHAPE", "CAST"):
        op = body.maker(op.slots[0])
    if op is None or op.name != "ADD":
        return None
    steps = [_number(t) for t in op.input_tensors if body.place(t) != place]
    if len(steps) != 1 or not steps[0] or steps[0] < 0:
        return None
    return max(0, math.ceil((limit - start) / steps[0]))


def _value(place: int | None, tensor: TensorInfo, body: _Graph, loop: OpInfo) -> int | None:
    """A constant, or an input of the loop that is one and that the body hands on as it is."""
    if place is None:
        return _number(tensor)
    handed_on = place < len(body.outputs) and body.place(body.outputs[place]) == place
    return _number(loop.slots[place]) if handed_on else None


def _number(tensor: TensorInfo | None) -> int | None:
    if tensor is None or tensor.values is None or tensor.size != 1:
        return None
    return int(np.ravel(tensor.values)[0])


def _has_open_size(op: OpInfo) -> bool:
    return any(tensor.open_beyond_batch for tensor in (*op.input_tensors, *op.output_tensors))

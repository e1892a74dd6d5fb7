"""Blocks that stand in a model several times in a row."""

from dataclasses import dataclass
from math import ceil
from typing import Any

import keras

from edgekit.core.graph import Graph


@dataclass(frozen=True)
class Run:
    """Equal blocks, one after another.

    Attributes:
        places: Tensors between them: the input of the first, and the output of each.
        calls: The calls of each block.
    """

    places: list[keras.KerasTensor]
    calls: list[list[Any]]


def repeated_blocks(graph: Graph) -> list[Run]:
    """Runs of two or more equal blocks that can be left out: their outputs look like their inputs.

    A block is what lies between two tensors that everything passes through: a residual block, or a
    convolution with what follows it.

    Args:
        graph: Of a Functional or Sequential model with one input.
    """
    places, between = _cuts(graph)
    kinds = [_kind(calls, place) for calls, place in zip(between, places[:-1], strict=True)]
    found, start = [], 0
    while start < len(kinds):
        run = _longest(kinds, places, start)
        if run is None:
            start += 1
            continue
        period, times = run
        ends = range(start, start + period * times + 1, period)
        blocks = [sum(between[first : first + period], []) for first in list(ends)[:-1]]
        found.append(Run([places[end] for end in ends], blocks))
        start += period * times
    return found


def left_out(graph: Graph, depth: float) -> list[tuple[Any, keras.KerasTensor]]:
    """`(call, tensor that stands for its outputs)` of the calls that go.

    Args:
        graph: Of the model.
        depth: The share of each run of equal blocks that stays, at least one.
    """
    gone = []
    for run in repeated_blocks(graph):
        kept = ceil(depth * len(run.calls) - 1e-9)
        for block, before in zip(run.calls[kept:], run.places[kept:-1], strict=True):
            gone += [(call, before) for call in block]
    return gone


def _cuts(graph: Graph) -> tuple[list[keras.KerasTensor], list[list[Any]]]:
    """Tensors that all of the model passes through, and the calls between each two of them."""
    if len(graph.inputs) != 1:
        return [graph.inputs[0]], []
    readers: dict[int, int] = {}
    main = _without_masks(graph)
    given = {id(tensor) for call in main for tensor in call.outputs} | {id(graph.inputs[0])}
    for call in main:
        for tensor in call.input_tensors:
            if id(tensor) in given:  # masks are not
                readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    for tensor in graph.outputs:
        readers[id(tensor)] = readers.get(id(tensor), 0) + 1
    alive = {id(graph.inputs[0])}
    places, between, calls = [graph.inputs[0]], [], []
    for call in main:
        calls.append(call)
        for tensor in call.input_tensors:
            if id(tensor) not in readers:
                continue
            readers[id(tensor)] -= 1
            if readers[id(tensor)] == 0:
                alive.discard(id(tensor))
        alive.update(id(tensor) for tensor in call.outputs if readers.get(id(tensor)))
        if len(alive) == 1 and len(call.outputs) == 1 and id(call.outputs[0]) in alive:
            places.append(call.outputs[0])
            between.append(calls)
            calls = []
    return places, between


def _without_masks(graph: Graph) -> list[Any]:
    """The calls but those that only pass a mask on, which runs beside all blocks."""
    masks, main = {id(tensor) for tensor in graph.inputs}, []
    for call in graph.calls:
        made = all(tensor.dtype == "bool" for tensor in call.outputs)
        if made and all(id(tensor) in masks for tensor in call.input_tensors):
            masks.update(id(tensor) for tensor in call.outputs)
        else:
            main.append(call)
    return main


def _kind(calls: list[Any], before: keras.KerasTensor) -> tuple:
    """What equal stretches have in common: operations, settings, and how they hang together."""
    numbers = {id(before): 0}
    found = []
    for call in calls:
        operation = call.operation
        inputs = tuple(numbers.get(id(tensor), -1) for tensor in call.input_tensors)
        for tensor in call.outputs:
            numbers[id(tensor)] = len(numbers)
        weights = tuple(tuple(w.shape) for w in getattr(operation, "weights", ()))
        found.append((type(operation).__name__, _settings(operation), inputs, weights))
    return tuple(before.shape), tuple(found)


def _settings(operation) -> str:
    if not isinstance(operation, keras.layers.Layer):
        return ""
    told = {"name", "build_config"}
    if isinstance(operation, keras.layers.Dropout):
        told |= {"rate", "seed"}  # it rises from block to block
    config = operation.get_config()
    return repr(sorted((name, repr(value)) for name, value in config.items() if name not in told))


def _longest(kinds: list, places: list, start: int) -> tuple[int, int] | None:
    """`(period, times)` of the run from `start` that covers most; None where there is none."""
    best = None
    for period in range(1, (len(kinds) - start) // 2 + 1):
        if tuple(places[start].shape) != tuple(places[start + period].shape):
            continue
        block, times = kinds[start : start + period], 1
        while kinds[start + times * period : start + (times + 1) * period] == block:
            times += 1
        weighty = any(one[3] for kind in block for one in kind[1])
        if times > 1 and weighty and (best is None or period * times > best[0] * best[1]):
            best = (period, times)
    return best

"""Which calls of a model LiteRT computes as one integer op."""

from collections import defaultdict
from typing import Any

import keras

from edgekit.core.graph import Graph
from edgekit.core.selection import layer_path
from edgekit.quantization.policy import ACTIVATIONS, Kind, activation_of, kind_of, objection_to


class Units:
    """The chosen calls of a graph, grouped: a convolution with its BatchNorm and ReLU is one.

    Args:
        graph: The model.
        chosen: The operations that become integer.

    Raises:
        ValueError: A chosen operation cannot be quantised; each is named with its reason.
    """

    def __init__(self, graph: Graph, chosen: set[keras.Operation]):
        self._graph = graph
        self._chosen = chosen
        _refuse([c.operation for c in graph.calls if c.operation in chosen], objection_to)
        heads = [c for c in graph.calls if self.kind(c) in (Kind.WEIGHTED, Kind.COMPUTE)]
        self._tails = {call: self._tail(call) for call in heads}
        self._agree_on_shared_layers()
        self._leave_shared_norms_out()
        self._absorbed = {follower for tail in self._tails.values() for follower in tail}
        loose = [c for c in graph.calls if c not in self._absorbed]
        _refuse([c.operation for c in loose if self.kind(c) == Kind.BATCHNORM], _unfoldable)

    def kind(self, call: Any) -> Kind | None:
        """The call's kind; None when it stays float."""
        return kind_of(call.operation) if call.operation in self._chosen else None

    def tail(self, call: Any) -> list[Any]:
        """The calls that are computed inside `call`, in order."""
        return self._tails.get(call, [])

    def absorbed(self, call: Any) -> bool:
        """Whether the call is computed inside another one."""
        return call in self._absorbed

    def feeds_concat(self, tensor: keras.KerasTensor) -> bool:
        """Whether `tensor` goes nowhere but into a Concatenate, whose grid it then takes.

        LiteRT has no requantising concatenation: its converter would overrule a grid of the
        tensor's own.
        """
        consumer = self._graph.sole_consumer(tensor)
        if consumer is None:
            return False
        if self.kind(consumer) == Kind.VIEW:
            return self.feeds_concat(consumer.outputs[0])
        return self.kind(consumer) == Kind.CONCAT

    def _tail(self, call) -> list[Any]:
        tail = []
        weighted = self.kind(call) == Kind.WEIGHTED
        if weighted and activation_of(call.operation) != "linear":
            return tail
        norm = self._follower(call, Kind.BATCHNORM)
        if weighted and norm and _normalizes_last_axis(norm):
            tail.append(norm)
        activation = self._follower(tail[-1] if tail else call, Kind.ACTIVATION)
        if activation and (weighted or _fuses_into_add(call.operation, activation.operation)):
            tail.append(activation)
        return tail

    def _follower(self, call, kind: Kind):
        follower = self._graph.sole_consumer(call.outputs[0])
        return follower if follower and self.kind(follower) == kind else None

    def _agree_on_shared_layers(self) -> None:
        """A layer that is called several times takes in only what follows every call."""
        calls = defaultdict(list)
        for call in self._tails:
            calls[call.operation].append(call)
        for group in calls.values():
            steps = zip(*(self._tails[call] for call in group), strict=False)
            common = 0
            for step in steps:
                if len({follower.operation for follower in step}) > 1:
                    break
                common += 1
            for call in group:
                del self._tails[call][common:]

    def _leave_shared_norms_out(self) -> None:
        """A BatchNorm that follows several layers cannot be folded into each."""
        owners = defaultdict(set)
        for call, tail in self._tails.items():
            for follower in tail:
                if self.kind(follower) == Kind.BATCHNORM:
                    owners[follower.operation].add(call.operation)
        for tail in self._tails.values():
            if tail and len(owners[tail[0].operation]) > 1:
                tail.clear()


def _fuses_into_add(operation: keras.Operation, activation: keras.Operation) -> bool:
    fused = ACTIVATIONS[activation_of(activation)].fused
    return fused and isinstance(operation, keras.layers.Add)


def _normalizes_last_axis(call) -> bool:
    axis, rank = call.operation.axis, len(call.outputs[0].shape)
    return axis in (-1, rank - 1)


def _unfoldable(operation) -> str:
    return (
        "a BatchNormalization can be folded only over the last axis, and right after a "
        "convolution or Dense layer that has no activation and feeds nothing else"
    )


def _refuse(operations, objection) -> None:
    objections = {_path(op): objection(op) for op in operations}
    lines = [f"{path} ({why})" for path, why in objections.items() if why]
    if lines:
        raise ValueError(
            f"quantize_aware cannot quantise {'; '.join(lines)}. Leave them in float with "
            "`layers=` (a regex or callable that does not select them), or replace them"
        )


def _path(operation: keras.Operation) -> str:
    return layer_path(operation) if isinstance(operation, keras.layers.Layer) else operation.name

"""Which calls of a graph LiteRT computes as one integer op."""

from collections import defaultdict
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers as kl

from edgekit.core.graph import Graph
from edgekit.quantization.masks import LOWEST_SUMMAND, hiding_constant, makes_summand
from edgekit.quantization.policy import Kind, activation_of, fuses, kind_of

# Two-input ops into which LiteRT's converter fuses a ReLU.
_FUSES_RELU = ("Add", "Subtract", "Multiply")
_OVER_IMAGES = ("Conv", "ConvTranspose", "MaxPool", "AveragePool")


class Units:
    """The chosen calls of a graph, grouped: a convolution with its BatchNorm and ReLU is one.

    Args:
        graph: The graph.
        chosen: Whether an operation becomes integer.
        constants: Inputs of the graph that hold weights rather than data.
        solitary: Ids of operations that neither take in others nor are taken in.
    """

    def __init__(
        self,
        graph: Graph,
        chosen: Callable[[keras.Operation], bool],
        constants: list[keras.KerasTensor] = (),
        solitary: frozenset[int] = frozenset(),
    ):
        self._solitary = solitary
        self._graph = graph
        self._makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
        self._chosen = chosen
        self._constants = self._spread({id(t) for t in constants})
        heads = [c for c in graph.calls if self.kind(c) in (Kind.WEIGHTED, Kind.COMPUTE)]
        self._tails = {call: self._tail(call) for call in heads}
        self._agree_on_shared_layers()
        self._leave_shared_norms_out()
        self._absorbed = {follower for tail in self._tails.values() for follower in tail}
        norms = [c for c in graph.calls if self.kind(c) == Kind.BATCHNORM]
        for call in norms:
            if call not in self._absorbed and _normalizes_last_axis(call):
                self._add_activation(call, self._tails.setdefault(call, []))
        self._agree_on_shared_layers()
        self._absorbed = {follower for tail in self._tails.values() for follower in tail}

    def kind(self, call: Any) -> Kind | None:
        """The call's kind; None when it stays float."""
        if not self._chosen(call.operation) or _over_volumes(call):
            return None
        return Kind.PICK if _pads_with_value(call) else kind_of(call.operation)

    def constant(self, tensor: keras.KerasTensor) -> bool:
        """Whether the tensor is computed from weights alone."""
        return id(tensor) in self._constants

    def tail(self, call: Any) -> list[Any]:
        """The calls that are computed inside `call`, in order."""
        return self._tails.get(call, [])

    def absorbed(self, call: Any) -> bool:
        """Whether the call is computed inside another one."""
        return call in self._absorbed

    def feeds_pick(self, tensor: keras.KerasTensor) -> bool:
        """Whether `tensor` goes nowhere but into a Concatenate or its like, whose grid it takes."""
        consumer = self._graph.sole_consumer(tensor)
        if consumer is None:
            return False
        if self.kind(consumer) == Kind.VIEW and len(consumer.outputs) == 1:
            return self.feeds_pick(consumer.outputs[0])
        return self.kind(consumer) == Kind.PICK

    def consumers(self, tensor: keras.KerasTensor) -> list[Any]:
        """The calls that read `tensor`; None stands for the graph's output."""
        return self._graph.consumers(tensor)

    def hidden(self, call: Any) -> float | None:
        """What hides some of the values that the call gives to a softmax; None for other calls."""
        if not self._feeds_softmax(call.outputs[0]):
            return None
        value = hiding_constant(call)
        if value is None and self._adds_summand(call):
            value = LOWEST_SUMMAND
        return value

    def is_summand(self, call: Any) -> bool:
        """Whether the call makes what a mask adds to scores before a softmax, and no more."""
        return makes_summand(call) and self.is_only_added(call.outputs[0])

    def _adds_summand(self, call) -> bool:
        if type(call.operation).__name__ != "Add":
            return False
        sources = [(t, self._origin(t)) for t in call.input_tensors]
        return any(
            self.is_summand(source) if source is not None else self.is_only_added(tensor)
            for tensor, source in sources
        )

    def _origin(self, tensor):
        """The call that makes the values which a tensor shows."""
        call = self._makers.get(id(tensor))
        if call is not None and self.kind(call) == Kind.VIEW and call.input_tensors:
            return self._origin(call.input_tensors[0])
        return call

    def is_only_added(self, tensor: keras.KerasTensor) -> bool:
        """Whether all that is done with the tensor is to add it to scores before a softmax."""
        consumers = self._graph.consumers(tensor)
        return bool(consumers) and all(
            consumer is not None
            and (
                self.is_only_added(consumer.outputs[0])
                if self.kind(consumer) == Kind.VIEW
                else type(consumer.operation).__name__ == "Add"
                and self._feeds_softmax(consumer.outputs[0])
            )
            for consumer in consumers
        )

    def is_added_to_computed(self, tensor: keras.KerasTensor) -> bool:
        """Whether what it is added to is computed, and neither weights nor another input."""
        return all(
            self.is_added_to_computed(call.outputs[0])
            if self.kind(call) == Kind.VIEW
            else any(
                self._origin(t) is not None and not self.constant(t)
                for t in call.input_tensors
                if t is not tensor
            )
            for call in self._graph.consumers(tensor)
        )

    def _feeds_softmax(self, tensor: keras.KerasTensor) -> bool:
        consumer = self._graph.sole_consumer(tensor)
        if consumer is None:
            return False
        if self.kind(consumer) == Kind.VIEW and len(consumer.outputs) == 1:
            return self._feeds_softmax(consumer.outputs[0])
        softmax = isinstance(consumer.operation, kl.Softmax)
        return softmax or activation_of(consumer.operation) == "softmax"

    def _spread(self, constants: set[int]) -> set[int]:
        for call in self._graph.calls:
            if all(id(tensor) in constants for tensor in call.input_tensors):
                constants |= {id(tensor) for tensor in call.outputs}
        return constants

    def _tail(self, call) -> list[Any]:
        if self.constant(call.outputs[0]) or id(call.operation) in self._solitary:
            return []
        if not isinstance(call.operation, kl.Layer):
            return self._tail_of_operation(call)
        tail = []
        weighted = self.kind(call) == Kind.WEIGHTED
        if weighted:
            if activation_of(call.operation) != "linear" or call.operation.activity_regularizer:
                return tail
            norm = self._follower(call, Kind.BATCHNORM)
            if norm and _normalizes_last_axis(norm):
                tail.append(norm)
        elif len(call.input_tensors) != 2 or type(call.operation).__name__ not in _FUSES_RELU:
            return tail
        self._add_activation(call, tail)
        return tail

    def _tail_of_operation(self, call) -> list[Any]:
        tail = []
        if self.kind(call) == Kind.WEIGHTED:
            follower = self._graph.sole_consumer(call.outputs[0])
            if follower and type(follower.operation).__name__ == "Add":
                others = [t for t in follower.input_tensors if t is not call.outputs[0]]
                if others and all(self.constant(t) for t in others):
                    tail.append(follower)
        elif type(call.operation).__name__ not in _FUSES_RELU:
            return tail
        self._add_activation(call, tail)
        return tail

    def _add_activation(self, call, tail) -> None:
        activation = self._follower(tail[-1] if tail else call, Kind.ACTIVATION)
        if activation and fuses(activation.operation):
            tail.append(activation)

    def _follower(self, call, kind: Kind):
        follower = self._graph.sole_consumer(call.outputs[0])
        if follower is None or id(follower.operation) in self._solitary:
            return None
        return follower if self.kind(follower) == kind else None

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


def _normalizes_last_axis(call) -> bool:
    axis, rank = call.operation.axis, len(call.outputs[0].shape)
    return axis in (-1, rank - 1)


def _pads_with_value(call) -> bool:
    """Whether it pads with another number than zero, which has to be on the output's grid."""
    value = call.arguments.kwargs.get("constant_values", 0)
    return type(call.operation).__name__ == "Pad" and value is not None and bool(np.any(value))


def _over_volumes(call) -> bool:
    """Whether it is a convolution or pooling over three axes, for which kernels are float."""
    return type(call.operation).__name__ in _OVER_IMAGES and len(call.input_tensors[0].shape) == 5

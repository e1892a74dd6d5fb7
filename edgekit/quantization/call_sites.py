"""What is called several times: which of its calls is running, so that each has its own ranges."""

import weakref
from collections import Counter
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import tree

from edgekit.core.graph import Graph
from edgekit.quantization.policy import Kind, kind_of

_running: ContextVar[int] = ContextVar("running_site", default=0)


def running_site() -> int:
    """The number of the call that is running, counted from 0 over the whole model."""
    return _running.get()


@contextmanager
def at_site(site: int) -> Iterator[None]:
    """Within it a call of a layer or model runs.

    Args:
        site: How many calls come before those that the graph around it makes here. A graph that
            runs several times makes as many calls in one place, one after the other.
    """
    token = _running.set(_running.get() + site)
    try:
        yield
    finally:
        _running.reset(token)


class RunsGraph:
    """Mixed into a layer that runs a graph: what is in there finds what feeds it.

    Attributes:
        running: The `site` of its call that is running.
    """

    running = 0

    def feeds(self, inputs: list[keras.KerasTensor]) -> None:
        """Note that the graph's inputs are this layer's, in their order."""
        for place, tensor in enumerate(inputs):
            tensor._keras_history.operation.fed_by = (weakref.ref(self), place)

    @contextmanager
    def at_call(self, site: int) -> Iterator[None]:
        """Within it a call of this layer runs; see `at_site`."""
        before, self.running = self.running, site
        try:
            with at_site(site):
                yield
        finally:
            self.running = before


def operations_of(graph: Graph) -> list[keras.Operation]:
    """The operations of a graph and of the models in it, as often as a run executes them."""
    return [call.operation for call in calls_of(graph)]


def calls_of(graph: Graph) -> list[Any]:
    """The calls of a graph and of the models in it, as often as a run executes them."""
    found = []
    for call in graph.calls:
        found.append(call)
        if kind_of(call.operation) == Kind.NESTED:
            found += calls_of(Graph(call.operation))
    return found


def computation(call: Any) -> Hashable:
    """A key that calls of one operation share if they compute the same, with ranges of their own.

    A layer that is several ops may compute something else for other arguments or other shapes.
    """
    operation = call.operation
    alike = (Kind.WEIGHTED, Kind.BATCHNORM, Kind.NESTED)
    if not isinstance(operation, keras.layers.Layer) or kind_of(operation) in alike:
        return id(operation)
    places = {id(tensor): i for i, tensor in enumerate(dict.fromkeys(call.input_tensors))}

    def key(value):
        if isinstance(value, keras.KerasTensor):
            masked = getattr(value, "_keras_mask", None) is not None
            return places[id(value)], value.shape, value.dtype, masked
        if hasattr(value, "shape"):
            array = keras.ops.convert_to_numpy(value)
            return array.shape, str(array.dtype), array.tobytes()
        return repr(value)

    kwargs = {name: v for name, v in call.arguments.kwargs.items() if name != "training"}
    structure = (call.arguments.args, sorted(kwargs.items()))
    return id(operation), repr(tree.map_structure(key, structure))


def count_sites(graph: Graph, runs: int = 1) -> Counter[Hashable]:
    """`{computation: calls}` of all operations of a graph and the models in it.

    Args:
        graph: What a model, layer or function computes.
        runs: From how many places it is run itself. Defaults to `1`.
    """
    counts = Counter(map(computation, calls_of(graph)))
    return Counter({key: runs * count for key, count in counts.items()})


@keras.saving.register_keras_serializable(package="edgekit")
class RepeatedModel(RunsGraph, keras.Model):
    """A model in a model: what it computes knows what feeds it, and each call has its own ranges.

    The file has tensors of their own for each call too.

    Call arguments:
        inputs: As the model takes them.
        site: See `at_site`. Defaults to `0`.
    """

    for_plain = True  # what is made from it has Keras's own class

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.feeds(self.inputs)

    def call(self, inputs, training=None, mask=None, site=0):
        with self.at_call(site):
            return super().call(inputs, training=training, mask=mask)

    def compute_output_spec(self, inputs, training=None, mask=None, site=0):
        return super().compute_output_spec(inputs, training=training, mask=mask)

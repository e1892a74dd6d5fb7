"""What is called several times: which of its calls is running, so that each has its own ranges."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import keras

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


def operations_of(graph: Graph) -> list[keras.Operation]:
    """The operations of a graph and of the models in it, as often as a run executes them."""
    found = []
    for call in graph.calls:
        found.append(call.operation)
        if kind_of(call.operation) == Kind.NESTED:
            found += operations_of(Graph(call.operation))
    return found


def count_sites(graph: Graph, runs: int = 1) -> Counter[int]:
    """`{id(operation): calls}` of all operations of a graph and the models in it.

    Args:
        graph: What a model, layer or function computes.
        runs: From how many places it is run itself. Defaults to `1`.
    """
    counts = Counter(id(operation) for operation in operations_of(graph))
    return Counter({key: runs * count for key, count in counts.items()})


@keras.saving.register_keras_serializable(package="edgekit")
class RepeatedModel(keras.Model):
    """A model in a model that is called several times: each call has activation ranges of its own.

    Its file has tensors of their own for each call too.

    Call arguments:
        inputs: As the model takes them.
        site: See `at_site`. Defaults to `0`.
    """

    def call(self, inputs, training=None, mask=None, site=0):
        with at_site(site):
            return super().call(inputs, training=training, mask=mask)

    def compute_output_spec(self, inputs, training=None, mask=None, site=0):
        return super().compute_output_spec(inputs, training=training, mask=mask)

"""A layer's or function's computation as a graph of Keras operations."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import keras
from keras import tree

from edgekit.core.graph import Graph, give_unique_names
from edgekit.core.open_batch import asks_for_batch, with_symbolic_batch
from edgekit.core.selection import all_layers


def trace(function: Callable, inputs: list[keras.KerasTensor]) -> Graph:
    """The graph of what `function` does with symbolic tensors.

    Args:
        function: Takes the inputs, returns tensors.
        inputs: Symbolic tensors, of which some may go unused.

    Raises:
        Exception: Whatever a function raises that does more than keras.ops can.
    """
    if not any(tensor.shape[:1] == (None,) for tensor in inputs):
        return _traced(function, inputs)
    try:
        graph = _traced(function, inputs)
    except NotImplementedError:
        raise
    except Exception:  # it may be the user's code, and None in a shape raises anything
        return _traced(*with_symbolic_batch(function, inputs))
    return _traced(*with_symbolic_batch(function, inputs)) if asks_for_batch(graph) else graph


def _traced(function, inputs) -> Graph:
    outputs = function(*inputs)
    give_unique_names([t for t in tree.flatten(outputs) if isinstance(t, keras.KerasTensor)])
    return Graph(keras.Function(inputs, outputs))


def trace_layer(
    layer: keras.layers.Layer,
    variables: list[keras.Variable],
    function: Callable,
    inputs: list[keras.KerasTensor],
) -> tuple[Graph, list[keras.KerasTensor]]:
    """`trace` of what a layer computes, with its variables as further inputs, and these.

    Args:
        layer: A built layer.
        variables: Those of its own variables that become inputs, in float32.
        function: Takes the inputs, calls the layer, returns tensors.
        inputs: Symbolic tensors.
    """
    weights = [keras.Input(batch_shape=tuple(v.shape), dtype="float32") for v in variables]
    swapped = {id(v): w for v, w in zip(variables, weights, strict=True)}
    with symbolic(layer, swapped):
        graph = trace(lambda *tensors: function(*tensors[: len(inputs)]), [*inputs, *weights])
    return graph, weights


def own_variables(layer: keras.layers.Layer) -> list[keras.Variable]:
    """The layer's weights, those of its sublayers left out."""
    inner = {id(v) for sub in all_layers(layer) for v in sub.variables}
    return [v for v in layer.variables if id(v) not in inner]


def placeholder(tensor) -> keras.KerasTensor:
    """A new symbolic tensor like a tensor or variable, as the input of a trace."""
    dtype = keras.backend.standardize_dtype(tensor.dtype)
    return keras.Input(batch_shape=tuple(tensor.shape), dtype=dtype)


@contextmanager
def symbolic(layer: keras.layers.Layer, tensors: dict[int, keras.KerasTensor]) -> Iterator[None]:
    """Within it the layer computes with symbolic tensors in place of its own variables.

    Args:
        layer: A built layer.
        tensors: `{id(variable): tensor}`.
    """

    def swap(value):
        return tensors.get(id(value), value) if isinstance(value, keras.Variable) else value

    # Past Keras's tracking of attributes, so that nothing of it remains.
    attributes = vars(layer)
    originals = {}
    for name, value in list(attributes.items()):
        if name.startswith("_") and isinstance(value, (list, tuple, dict)):
            continue  # Keras's own bookkeeping
        if isinstance(value, (keras.Variable, list, tuple, dict)):
            swapped = tree.map_structure(swap, value)
            if any(
                a is not b for a, b in zip(tree.flatten(swapped), tree.flatten(value), strict=True)
            ):
                originals[name] = value
                attributes[name] = swapped
    try:
        yield
    finally:
        attributes.update(originals)

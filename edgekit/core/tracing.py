"""A layer's or function's computation as a graph of Keras operations."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps

import keras
from keras import tree

from edgekit.core.call_hooks import hooked
from edgekit.core.graph import Graph, give_unique_names
from edgekit.core.open_batch import asks_for_batch, with_symbolic_batch
from edgekit.core.selection import all_layers
from edgekit.core.transposed import made_to_run


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
    graph = Graph(keras.Function(inputs, outputs))
    for call in graph.calls:
        made_to_run(call.operation)
    return graph


def trace_layer(
    layer: keras.layers.Layer,
    function: Callable,
    inputs: list[keras.KerasTensor],
    wanted: Callable[[keras.Variable], bool] = lambda variable: True,
) -> tuple[Graph, list[keras.KerasTensor], list[keras.Variable]]:
    """`trace` of what a layer computes, with the variables it reads as further inputs.

    These are its own; and those of its sublayers that it takes from them itself, or that it calls
    on what does not come from the inputs, as an embedding of positions. Other calls of sublayers
    are calls in the graph.

    Args:
        layer: A built layer.
        function: Takes the inputs, calls the layer, returns tensors.
        inputs: Symbolic tensors.
        wanted: Which variables become inputs, in float32. Defaults to all.

    Returns:
        The graph, its inputs that stand for variables, and these variables.
    """
    own = [v for v in own_variables(layer) if wanted(v)]
    known = {id(v) for v in own}
    inner = [v for v in layer.variables if wanted(v) and id(v) not in known]
    variables = [*own, *inner]
    weights = [keras.Input(batch_shape=tuple(v.shape), dtype="float32") for v in variables]
    swapped = {id(v): w for v, w in zip(variables, weights, strict=True)}
    with _read_symbolically([layer, *all_layers(layer)], swapped):
        graph = trace(lambda *tensors: function(*tensors[: len(inputs)]), [*inputs, *weights])
    read = {id(t) for call in graph.calls for t in call.input_tensors}
    read |= {id(t) for t in [*graph.outputs, *weights[: len(own)]]}
    kept = [(v, w) for v, w in zip(variables, weights, strict=True) if id(w) in read]
    variables, weights = [v for v, _ in kept], [w for _, w in kept]
    if len(weights) < len(swapped):
        graph = Graph(keras.Function([*inputs, *weights], graph.model._outputs_struct))
    return graph, weights, variables


@contextmanager
def _read_symbolically(
    layers: list[keras.layers.Layer], tensors: dict[int, keras.KerasTensor]
) -> Iterator[None]:
    """Within it whoever reads the layers' variables gets tensors in their place.

    Not so inside a call that Keras runs to learn the shape of its outputs.
    """
    import tensorflow as tf

    shown = ExitStack()

    def show():
        for layer in layers:
            shown.enter_context(symbolic(layer, tensors))

    def wrap(layer, call):
        @wraps(call)  # who asks for its arguments gets them
        def called(*args, **kwargs):
            if tf.executing_eagerly() or hidden:
                return call(*args, **kwargs)
            hidden.append(layer)
            shown.close()
            try:
                return call(*args, **kwargs)
            finally:
                hidden.pop()
                show()

        return called

    hidden: list[keras.layers.Layer] = []
    with hooked(layers, wrap):
        show()
        try:
            yield
        finally:
            shown.close()


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

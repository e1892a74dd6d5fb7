"""Which inputs of a model are whole numbers, as indices that are given as floats."""

import keras

from edgekit.core.graph import Graph


def counted_inputs(graph: Graph) -> set[int]:
    """Places of the inputs that only embeddings, and casts to integers, read.

    Rounded, 2 may be 1.999, of which a cast makes 1; and of a thousand rows of a table 256 could be
    told apart. These are read as they are.
    """
    return {i for i, tensor in enumerate(graph.inputs) if _counts(graph, tensor)}


def _counts(graph: Graph, tensor: keras.KerasTensor) -> bool:
    readers = graph.consumers(tensor)
    return bool(readers) and all(r is not None and _reads_counts(r, tensor) for r in readers)


def _reads_counts(call, tensor) -> bool:
    if isinstance(call.operation, keras.layers.Embedding):
        return True
    if isinstance(call.operation, keras.Model) and hasattr(call.operation, "_nodes_by_depth"):
        place = [id(t) for t in call.input_tensors].index(id(tensor))
        return place in counted_inputs(Graph(call.operation))
    is_cast = type(call.operation).__name__ == "Cast"
    return is_cast and not keras.backend.is_float_dtype(call.outputs[0].dtype)

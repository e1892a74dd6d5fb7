"""What stands around a layer in a model, nested models included."""

import keras
from keras import layers as kl

from edgekit.core.graph import Graph
from edgekit.core.layer_calls import possible_inputs
from edgekit.core.selection import all_layers, student_of
from edgekit.core.tracing import trace

# What a positive factor per channel passes through unchanged.
PASSES_FACTORS = (
    kl.Dropout,
    kl.ZeroPadding1D,
    kl.ZeroPadding2D,
    kl.Cropping2D,
    kl.MaxPooling1D,
    kl.MaxPooling2D,
    kl.AveragePooling1D,
    kl.AveragePooling2D,
    kl.GlobalAveragePooling1D,
    kl.GlobalAveragePooling2D,
    kl.GlobalMaxPooling1D,
    kl.GlobalMaxPooling2D,
    kl.UpSampling1D,
    kl.UpSampling2D,
    kl.LeakyReLU,
)
# What hands each channel on by itself.
CHANNELWISE = (
    *PASSES_FACTORS,
    kl.Activation,
    kl.ReLU,
    kl.PReLU,
    kl.ELU,
    kl.SpatialDropout1D,
    kl.SpatialDropout2D,
    kl.Cropping1D,
    kl.DepthwiseConv1D,
    kl.DepthwiseConv2D,
)


def graphs_of(model: keras.Model) -> list[Graph]:
    """The graphs of a model and of those in it, subclassed ones where they can be traced."""
    model = student_of(model)
    try:
        graph = Graph(model)
    except ValueError:  # subclassed: what it does with a symbolic tensor
        try:
            graph = trace(model.call, possible_inputs(model)[:1])
        except Exception:  # it is the user's code: it may raise anything
            return []
    inner = [call.operation for call in graph.calls if isinstance(call.operation, keras.Model)]
    return [graph, *(found for model in dict.fromkeys(inner) for found in graphs_of(model))]


def batchnorm_after(model: keras.Model) -> dict[keras.layers.Layer, kl.BatchNormalization]:
    """`{layer: the BatchNormalization that alone reads it}`; layers called once only."""
    found = {}
    for graph in graphs_of(model):
        operations = [call.operation for call in graph.calls]
        for call in graph.calls:
            following = graph.sole_consumer(call.outputs[0])
            if following is None or not isinstance(following.operation, kl.BatchNormalization):
                continue
            if operations.count(call.operation) == operations.count(following.operation) == 1:
                found[call.operation] = following.operation
    for layer in all_layers(model):
        # A wrapper of quantisation-aware training holds both.
        inside = getattr(layer, "layer", None), getattr(layer, "batchnorm", None)
        if isinstance(inside[1], kl.BatchNormalization):
            found[inside[0]] = inside[1]
    return found


def batchnorm_before(model: keras.Model) -> dict[keras.layers.Layer, kl.BatchNormalization]:
    """`{layer: the BatchNormalization whose channels it reads}`, activations between or not."""
    found = {}
    for graph in graphs_of(model):
        makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
        for call in graph.calls:
            maker = _only_maker(call, makers)
            while maker is not None and isinstance(maker.operation, CHANNELWISE):
                maker = _only_maker(maker, makers)
            if maker is not None and isinstance(maker.operation, kl.BatchNormalization):
                found[call.operation] = maker.operation
    return found


def first_layers(model: keras.Model, candidates: set) -> set[keras.layers.Layer]:
    """The candidates that a model's input reaches without passing another."""
    return _reached(model, candidates, forward=True)


def last_layers(model: keras.Model, candidates: set) -> set[keras.layers.Layer]:
    """The candidates from which an output is reached without passing another."""
    return _reached(model, candidates, forward=False)


def _only_maker(call, makers):
    if len(call.input_tensors) != 1:
        return None
    return makers.get(id(call.input_tensors[0]))


def _reached(model: keras.Model, candidates: set, forward: bool) -> set[keras.layers.Layer]:
    graphs = graphs_of(model)
    if not graphs:
        return set()
    graph, found = graphs[0], set()
    open_tensors = {id(tensor) for tensor in (graph.inputs if forward else graph.outputs)}
    for call in graph.calls if forward else reversed(graph.calls):
        near, far = call.input_tensors, call.outputs
        if not forward:
            near, far = far, near
        if not open_tensors & {id(tensor) for tensor in near}:
            continue
        operation = call.operation
        inside = _candidates_in(operation, candidates)
        if isinstance(operation, keras.Model) and inside:
            found |= _reached(operation, candidates, forward) or inside
        elif inside:
            found |= inside
        else:
            open_tensors |= {id(tensor) for tensor in far}
    return found


def _candidates_in(operation, candidates: set) -> set[keras.layers.Layer]:
    if not isinstance(operation, keras.layers.Layer):
        return set()
    return candidates & {operation, *all_layers(operation)}

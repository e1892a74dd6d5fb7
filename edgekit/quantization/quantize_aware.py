"""`quantize_aware`: a copy of a model that trains with the rounding of integer arithmetic."""

import warnings
from collections import Counter
from collections.abc import Mapping

import keras

from edgekit.core.graph import Cloner, Graph
from edgekit.core.low_rank import check_plain
from edgekit.core.selection import LayerFilter, chosen_values
from edgekit.quantization.call_sites import count_sites, operations_of
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.graph_quantizer import GraphQuantizer
from edgekit.quantization.policy import Kind, kind_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper
from edgekit.quantization.scheme import QuantScheme, as_scheme, scheme_per_pattern


def quantize_aware(model: keras.Model, scheme="int8", layers: LayerFilter = None) -> keras.Model:
    """A copy of the model that computes as its integer LiteRT file will, ready to train.

    Kernels are rounded to integers, by default of 8 bits with one scale per output channel;
    activations to integers over ranges followed from the training data. The float weights
    underneath are what trains. BatchNorm, and ReLU and ReLU6, are computed inside the layer
    before them, as on the device; layers that are several ops there, such as attention or
    normalisation, are rounded op by op. What LiteRT has no integer kernel for stays float, and
    a warning names it. The model that was given is not changed.

    Example:
        >>> qat = ek.quantize_aware(model, "int8")
        >>> qat.compile("adam", "sparse_categorical_crossentropy")
        >>> qat.fit(x, y)
        >>> ek.convert(qat, ["int8"])["int8"].save("model.tflite")
        >>> ek.quantize_aware(model, {"^stem|head$": "int8", "": "int4"})

    Args:
        model: A built Functional or Sequential model.
        scheme: `"int8"`; `"int4"` (weights of 4 bits), `"int16x8"` (activations of 16),
            `"ternary"` or `"binary"` (weights); an `ek.QuantScheme`; or `{regex: scheme}`, of
            which a layer gets the first whose regex its path matches and stays float if none
            does. Defaults to `"int8"`.
        layers: Which layers become integer: a regular expression on the path, a list of them,
            or a callable on the layer. The rest stays float; a model inside the model is
            chosen with all its layers. Defaults to `None`: all.

    Returns:
        A new, uncompiled Functional model with the same weights, inputs and outputs.

    Raises:
        ValueError: An unknown scheme, a subclassed or unbuilt model, one that is
            quantisation-aware already, has layers with LoRA or was quantized by Keras, or a
            regex that matches nothing.

    Source: Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342.
    """
    patterns = scheme_per_pattern(scheme)
    graph = Graph(model)
    operations = operations_of(graph)
    check_plain(model)
    if any(isinstance(op, (FakeQuantize, QuantizeWrapper)) for op in operations):
        raise ValueError(f"model {model.name!r} is quantisation-aware already")
    schemes = _schemes(
        graph, patterns if isinstance(scheme, Mapping) else as_scheme(scheme), layers
    )
    clone = Cloner()
    quantizer = GraphQuantizer(
        lambda op: schemes.get(id(op)),
        clone,
        solitary=_in_several_graphs(graph),
        sites=count_sites(graph),
    )
    quantized, _ = quantizer.rebuild(graph)
    clone.copy_weights()
    for layer in quantizer.layers:
        if isinstance(layer, QuantizeWrapper):
            layer.start_scales()
    if quantizer.left_float:
        found = "; ".join(f"{what}: {why}" for what, why in dict(quantizer.left_float).items())
        warnings.warn(f"quantize_aware leaves in float {found}", stacklevel=2)
    return quantized


def _in_several_graphs(graph: Graph) -> frozenset[int]:
    """Ids of the layers that more than one of the model's graphs calls."""
    graphs = {id(graph): graph}
    for operation in operations_of(graph):
        if kind_of(operation) == Kind.NESTED:
            graphs[id(operation)] = Graph(operation)
    counts = Counter(id(op) for g in graphs.values() for op in {c.operation for c in g.calls})
    return frozenset(key for key, count in counts.items() if count > 1)


def _schemes(graph: Graph, scheme, layers: LayerFilter) -> dict[int, QuantScheme]:
    """`{id(operation): scheme}`.

    An operation that is no layer has no path to be selected by: it goes with the model it is in,
    and outside of one with the first chosen layer, unless `layers` picks some.
    """
    candidates = list(
        dict.fromkeys(op for op in operations_of(graph) if isinstance(op, keras.layers.Layer))
    )
    own = chosen_values(candidates, layers, scheme, "scheme")
    found: dict[int, QuantScheme] = {}
    _spread(graph, own, None, layers is None, found)
    return found


def _spread(graph, own, inherited, all_chosen, found) -> None:
    default = inherited or (next(iter(own.values()), QuantScheme()) if all_chosen else None)
    for call in graph.calls:
        operation = call.operation
        scheme = own.get(operation, inherited)
        if not isinstance(operation, keras.layers.Layer):
            scheme = default
        if scheme is not None:
            found[id(operation)] = scheme
        if kind_of(operation) == Kind.NESTED:
            _spread(Graph(operation), own, own.get(operation, inherited), all_chosen, found)
            if any(id(op) in found for op in operations_of(Graph(operation))):
                found.setdefault(id(operation), next(iter(own.values())))

"""On which grids the inputs of a layer's calls are.

Found in the graphs that the layer is called in, which are put together anew when a model is
loaded: nothing of this is saved. A rounding belongs to its model, so no layer holds another's.
"""

from dataclasses import dataclass
from typing import Any, Protocol

import keras

from edgekit.quantization.call_sites import at_site
from edgekit.quantization.policy import Kind, kind_of


class Rounding(Protocol):
    """What rounds activations: `FakeQuantize`."""

    bits: int

    def step(self) -> Any:
        """The step of its integers, of the call that is running; 0 before it has seen data."""


@dataclass(frozen=True)
class AtSite:
    """A rounding of another graph than that which asks for it, of which another call runs.

    Args:
        rounding: The rounding.
        site: How many calls later than the one that asks, see `at_site`.
    """

    rounding: Rounding
    site: int

    @property
    def bits(self) -> int:
        """Width of its integers."""
        return self.rounding.bits

    def step(self) -> Any:
        """The step of its integers, of that call."""
        with at_site(self.site):
            return self.rounding.step()


def input_rounding(layer: keras.layers.Layer, site: int = 0, place: int = 0) -> Rounding | None:
    """What rounds an input of a layer; None if that is not known.

    Args:
        layer: The layer.
        site: Which of its calls. Defaults to `0`.
        place: Which of the call's tensors. Defaults to `0`.
    """
    calls = [n for n in layer._inbound_nodes if n.arguments.kwargs.get("site", 0) == site]
    return rounding_before(calls[-1].input_tensors[place]) if calls else None


def rounding_before(tensor: Any) -> Rounding | None:
    """The rounding before a symbolic tensor, through what only moves values; None if unknown."""
    while True:
        operation, index, place = tensor._keras_history
        if getattr(operation, "rounds", None) == "activations":
            return operation
        if hasattr(operation, "fed_by"):
            return _from_outside(*operation.fed_by)
        if not operation._inbound_nodes:
            return None
        node, inside = operation._inbound_nodes[index], outputs_inside(operation)
        if inside is not None:
            return _at(rounding_before(inside[place]), node.arguments.kwargs.get("site", 0))
        if kind_of(operation) != Kind.VIEW and not getattr(operation, "keeps_grid", False):
            return None
        sources = [
            t
            for t in node.input_tensors
            if keras.backend.is_float_dtype(keras.backend.standardize_dtype(t.dtype))
        ]
        if len(sources) != 1:
            return None
        (tensor,) = sources


def outputs_inside(operation: Any) -> list[Any] | None:
    """The symbolic outputs of the graph that an operation runs; None where it runs none."""
    if isinstance(operation, (keras.Function, keras.Sequential)):
        return keras.tree.flatten(operation.outputs)
    graph = getattr(operation, "quantized", None)
    return keras.tree.flatten(graph.outputs) if isinstance(graph, keras.Function) else None


def _from_outside(reference, place) -> Rounding | None:
    layer = reference()
    return (
        None if layer is None else _at(input_rounding(layer, layer.running, place), -layer.running)
    )


def _at(rounding, site) -> Rounding | None:
    return AtSite(rounding, site) if rounding is not None and site else rounding

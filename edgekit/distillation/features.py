"""What layers of a model put out while it runs."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from edgekit.core.call_hooks import outputs_of
from edgekit.core.graph import Graph
from edgekit.core.selection import all_layers, layer_path


class Features:
    """Runs a model and gives the outputs of some of its layers with its own.

    Layers that a Functional or Sequential model calls itself are read from its graph, all others
    while they run: those of nested and subclassed models.

    Args:
        model: A built model.
        names: Of layers, or their paths.

    Raises:
        ValueError: There is no such layer, more than one of the name, or one that is called more
            than once.
    """

    def __init__(self, model: keras.Model, names: Sequence[str]):
        self._model = model
        self._layers = {name: layer_named(model, name) for name in dict.fromkeys(names)}
        self._graph = self._extractor() if self._layers else None

    def __call__(self, inputs: Any, **options) -> tuple[Any, dict[str, Any]]:
        """`(outputs, {name: features})`."""
        if not self._layers:
            return self._model(inputs, **options), {}
        if self._graph is not None:
            outputs, features = self._graph(inputs, **options)
            return outputs, dict(zip(self._layers, features, strict=True))
        if tf.distribute.get_strategy().num_replicas_in_sync > 1:
            raise ValueError(
                "features of layers in nested or subclassed models cannot be read on several "
                f"replicas: {', '.join(self._layers)} in {self._model.name!r}"
            )
        with outputs_of(self._layers.values()) as found:
            outputs = self._model(inputs, **options)
        return outputs, {name: found[id(layer)] for name, layer in self._layers.items()}

    def _extractor(self) -> keras.Model | None:
        try:
            graph = Graph(self._model)
        except ValueError:
            return None
        made: dict[int, list] = {}
        for call in graph.calls:
            made.setdefault(id(call.operation), []).append(call.outputs[0])
        for name, layer in self._layers.items():
            if len(made.get(id(layer), [])) > 1:
                raise ValueError(
                    f"layer {name!r} of {self._model.name!r} is called {len(made[id(layer)])} "
                    "times: name a layer behind the one that is meant, such as a "
                    "keras.layers.Identity"
                )
        if any(id(layer) not in made for layer in self._layers.values()):
            return None
        features = [made[id(layer)][0] for layer in self._layers.values()]
        return keras.Model(graph.model.input, (graph.model.output, features))


def layer_named(model: keras.Model, name: str) -> keras.layers.Layer:
    """The layer of that name or path; the model's own before those inside others.

    Raises:
        ValueError: There is none, or more than one.
    """
    inside = all_layers(model)
    own = [layer for layer in getattr(model, "layers", ()) if layer.name == name]
    found = own or [layer for layer in inside if name in (layer.name, layer_path(layer))]
    if len(found) == 1:
        return found[0]
    if found:
        paths = ", ".join(layer_path(layer) for layer in found)
        raise ValueError(f"{model.name!r} has several layers {name!r}: name one by path, {paths}")
    paths = ", ".join(layer_path(layer) for layer in inside) or "(none)"
    raise ValueError(f"{model.name!r} has no layer {name!r}. Its layers are: {paths}")

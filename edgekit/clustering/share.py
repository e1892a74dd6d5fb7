"""`share`: layers of one shape that have their weights in common."""

from collections.abc import Sequence

import keras
import numpy as np

from edgekit.core.graph import Cloner, Graph, fill_in
from edgekit.core.selection import LayerFilter, layer_path, select_layers

_STARTS = ("first", "mean")


def share(model: keras.Model, groups: Sequence[LayerFilter], weights: str = "first") -> keras.Model:
    """A copy of the model in which the layers of each group are one layer, called several times.

    Train it on: the gradients of all calls go into the same weights. The flatbuffer stores them
    once, as long as nothing multiplies them differently: a BatchNormalization behind each call is
    taken into the weights by the converter, so share that too or do without.

    Example:
        >>> shared = ek.share(model, ["block_./attention", "block_./dense_1", "block_./dense_2"])
        >>> shared.compile(...)
        >>> shared.fit(x, y)

    Args:
        model: A built Functional or Sequential model; it is not changed.
        groups: For each group which of the model's own layers: a regular expression on the path, a
            list of them, or a callable on the layer. A nested model is one such layer, with all
            that is in it.
        weights: What the shared layer starts with: the weights of the `"first"` layer of the
            group, or the `"mean"` of all. Defaults to `"first"`.

    Returns:
        A new, uncompiled Functional model.

    Raises:
        ValueError: A subclassed model, a selection that matches nothing or only one layer, a layer
            in two groups, or layers of different configuration or weights.

    Source: Dehghani et al. 2018, "Universal Transformers", arXiv 1807.03819; Lan et al. 2019,
    ALBERT, arXiv 1909.11942.
    """
    if weights not in _STARTS:
        raise ValueError(f"`weights` must be 'first' or 'mean'. Received: weights={weights!r}")
    if isinstance(groups, str) or not isinstance(groups, Sequence) or not groups:
        raise ValueError(f"`groups` must be a list of selections. Received: groups={groups!r}")
    graph = Graph(model)
    layers = {c.operation: None for c in graph.calls if isinstance(c.operation, keras.layers.Layer)}
    candidates = [layer for layer in layers if layer.weights]
    leaders: dict[int, keras.layers.Layer] = {}
    members = []
    for group in groups:
        found = select_layers(candidates, group, argument="groups")
        _check_alike(found, leaders)
        leaders |= {id(layer): found[0] for layer in found}
        members.append(found)
    clone = Cloner()

    def emit(call, values):
        args, kwargs = fill_in(call, values)
        outputs = clone(leaders.get(id(call.operation), call.operation))(*args, **kwargs)
        for old, new in zip(call.outputs, keras.tree.flatten(outputs), strict=True):
            values[id(old)] = new

    shared = graph.rebuild(emit)
    clone.copy_weights()
    if weights == "mean":
        for found in members:
            stacks = zip(*(layer.get_weights() for layer in found), strict=True)
            clone(found[0]).set_weights([np.mean(stack, axis=0) for stack in stacks])
    return shared


def _check_alike(found: list[keras.layers.Layer], taken: dict[int, keras.layers.Layer]) -> None:
    paths = ", ".join(layer_path(layer) for layer in found)
    if len(found) < 2:
        raise ValueError(f"`groups` has a group of one layer, {paths}: sharing takes two or more")
    twice = [layer_path(layer) for layer in found if id(layer) in taken]
    if twice:
        raise ValueError(f"`groups` names {', '.join(twice)} in two groups")
    first = found[0]
    for layer in found[1:]:
        shapes = [[tuple(v.shape) for v in one.weights] for one in (first, layer)]
        if type(layer) is not type(first):
            raise ValueError(
                f"`groups` has layers of different kinds: {layer_path(first)} "
                f"({type(first).__name__}) and {layer_path(layer)} ({type(layer).__name__})"
            )
        one, other = _settings(first), _settings(layer)
        differing = next((key for key in one | other if one.get(key) != other.get(key)), None)
        if differing:
            raise ValueError(
                f"`groups` has layers that differ in more than their weights: {layer_path(first)} "
                f"has {differing}={one.get(differing)!r}, {layer_path(layer)} has "
                f"{differing}={other.get(differing)!r}"
            )
        if shapes[0] != shapes[1]:
            raise ValueError(
                f"`groups` has layers with weights of different shapes: {layer_path(first)} has "
                f"{shapes[0]}, {layer_path(layer)} has {shapes[1]}"
            )


def _settings(layer: keras.layers.Layer) -> dict:
    """A layer's configuration but for names and how weights began."""
    config = layer.get_config()
    return _without_names({k: v for k, v in config.items() if k != "name"}, {})


def _without_names(config, numbers: dict[str, int]):
    """The same with the layers of nested models numbered in place of their names."""
    if isinstance(config, (list, tuple)):
        return [_without_names(value, numbers) for value in config]
    if not isinstance(config, dict):
        return numbers.get(config, config) if isinstance(config, str) else config
    inner = config.get("layers", ())
    names = [one.get("config", {}).get("name") for one in inner if isinstance(one, dict)]
    numbers = numbers | {name: number for number, name in enumerate(names)}
    told = ("name", "build_config", "compile_config")
    return {
        key: _without_names(value, numbers)
        for key, value in config.items()
        if key not in told and not key.endswith("initializer")
    }

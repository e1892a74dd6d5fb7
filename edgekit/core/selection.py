"""Choosing layers by path, as Keras's own `quantize(filters=...)` does."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras

LayerFilter = str | Sequence[str] | Callable[[keras.layers.Layer], bool] | None


def student_of(model: keras.layers.Layer) -> keras.layers.Layer:
    """What of a model is deployed: the student of a `keras.distillation.Distiller`, or all of it.

    A callback is given the model that is fitted; a teacher is none of its business.
    """
    return model.student if isinstance(model, keras.distillation.Distiller) else model


def all_layers(model: keras.layers.Layer) -> list[keras.layers.Layer]:
    """Every layer inside `model`, nested ones too, each once and in order of use.

    Of a `keras.distillation.Distiller` those of the student.
    """
    # Keras offers no public walk over nested layers; its own `quantize` uses this one.
    return list(dict.fromkeys(student_of(model)._flatten_layers(include_self=False)))


def select_layers(
    candidates: Iterable[keras.layers.Layer], layers: LayerFilter, argument: str = "layers"
) -> list[keras.layers.Layer]:
    """The candidates that `layers` names.

    Example:
        >>> select_layers(model.layers, "^block_1")
        >>> select_layers(model.layers, ["conv", "dense"])
        >>> select_layers(model.layers, lambda layer: layer.count_params() > 1000)

    Args:
        candidates: Layers to choose from.
        layers: `None` for all of them, a regular expression (`re.search` on the
            layer's path), a list of them, or a callable on the layer.
        argument: What the user calls it. Defaults to `"layers"`.

    Raises:
        ValueError: Nothing matches; the message lists the candidates' paths.
        TypeError: `layers` is none of the kinds above.
    """
    candidates = list(candidates)
    if layers is None:
        return candidates
    if callable(layers):
        chosen = [layer for layer in candidates if layers(layer)]
    else:
        patterns = [layers] if isinstance(layers, str) else layers
        if not isinstance(patterns, Sequence) or not all(isinstance(p, str) for p in patterns):
            raise TypeError(
                f"`{argument}` must be None, a regular expression, a list of them, or a callable "
                f"on the layer. Received: {argument}={layers!r}"
            )
        for pattern in patterns:
            _check_matches(candidates, pattern, argument)
        chosen = [layer for layer in candidates if any(_matches(layer, p) for p in patterns)]
    if not chosen:
        raise ValueError(
            f"`{argument}` matches no layer. Received: {argument}={layers!r}. "
            f"The paths to choose from are: {_paths(candidates)}"
        )
    return chosen


def value_per_layer(
    candidates: Iterable[keras.layers.Layer], value: Any, argument: str
) -> dict[keras.layers.Layer, Any]:
    """`{layer: value}`; a `{regex: value}` gives each layer that of the first regex it matches.

    Raises:
        ValueError: A regular expression matches no layer.
    """
    candidates = list(candidates)
    if not isinstance(value, Mapping):
        return dict.fromkeys(candidates, value)
    for pattern in value:
        _check_matches(candidates, pattern, argument)
    return {
        layer: next(v for pattern, v in value.items() if _matches(layer, pattern))
        for layer in candidates
        if any(_matches(layer, pattern) for pattern in value)
    }


def chosen_values(
    candidates: Iterable[keras.layers.Layer], layers: LayerFilter, value: Any, argument: str
) -> dict[keras.layers.Layer, Any]:
    """`{layer: value}` of the candidates that `layers` names and `value` has something for.

    Raises:
        ValueError: There are candidates, but none of that kind; or a name matches nothing.
    """
    candidates = list(candidates)
    chosen = set(select_layers(candidates, layers)) if candidates else set()
    per_layer = value_per_layer(candidates, value, argument)
    found = {layer: v for layer, v in per_layer.items() if layer in chosen}
    if candidates and not found:
        raise ValueError(f"`layers` and `{argument}` have no layer in common: nothing is done")
    return found


def layer_path(layer: keras.layers.Layer) -> str:
    """`model/block/conv`; a layer without weights, or of tf_keras, may have only its name."""
    return getattr(layer, "path", None) or layer.name


def _matches(layer: keras.layers.Layer, pattern: str) -> bool:
    return re.search(pattern, layer_path(layer)) is not None


def _check_matches(candidates: list[keras.layers.Layer], pattern: str, argument: str) -> None:
    try:
        found = any(_matches(layer, pattern) for layer in candidates)
    except re.error as error:
        raise ValueError(
            f"`{argument}` holds {pattern!r}, which is not a regular expression: {error}"
        ) from None
    if not found:
        raise ValueError(
            f"`{argument}` holds {pattern!r}, which matches no layer. "
            f"The paths to choose from are: {_paths(candidates)}"
        )


def _paths(candidates: list[keras.layers.Layer]) -> str:
    return ", ".join(layer_path(layer) for layer in candidates) or "(none)"

"""Something done around the calls of layers, for a while."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import keras


@contextmanager
def hooked(
    layers: Iterable[keras.layers.Layer],
    wrap: Callable[[keras.layers.Layer, Callable], Callable],
) -> Iterator[None]:
    """Within it each layer's call is the one that `wrap` makes of it.

    Args:
        layers: Layers of a model, wherever they stand in it.
        wrap: `wrap(layer, call)` gives the call to use.
    """
    # Past Keras's tracking of attributes, so that nothing of it remains.
    originals = []
    for layer in layers:
        attributes = vars(layer)
        name = "quantized_call" if getattr(layer, "quantization_mode", None) else "call"
        originals.append((attributes, name, attributes.get(name)))
        attributes[name] = wrap(layer, getattr(layer, name))
    try:
        yield
    finally:
        for attributes, name, original in originals:
            if original is None:
                del attributes[name]
            else:
                attributes[name] = original


@contextmanager
def outputs_of(layers: Iterable[keras.layers.Layer]) -> Iterator[dict[int, Any]]:
    """Within it what each layer puts out, of its last call, is in the dict: `{id(layer): output}`.

    Example:
        >>> with outputs_of([model.get_layer("conv_2")]) as found:
        ...     y = model(x)
        >>> found[id(model.get_layer("conv_2"))].shape
        (32, 14, 14, 64)
    """
    found: dict[int, Any] = {}

    def wrap(layer, call):
        def remembered(*args, **kwargs):
            found[id(layer)] = output = call(*args, **kwargs)
            return output

        return remembered

    with hooked(layers, wrap):
        yield found

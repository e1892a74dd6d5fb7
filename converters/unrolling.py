"""Recurrent layers unrolled over time while a model is traced.

Integer files have no loops here: a fixed number of steps, one after the other, needs none, and is
made of ops that every runtime has.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import keras

# So many steps, at most: each is some ten ops.
MOST_STEPS = 128


@contextmanager
def unrolled(model: keras.Model) -> Iterator[list[keras.layers.RNN]]:
    """Within it the model's recurrent layers of few, fixed steps run unrolled; yields them.

    Args:
        model: A built model.
    """
    layers = [
        layer
        for layer in model._flatten_layers(include_self=False)
        if isinstance(layer, keras.layers.RNN) and not layer.unroll and _is_short(layer)
    ]
    for layer in layers:
        layer.unroll = True
    try:
        yield layers
    finally:
        for layer in layers:
            layer.unroll = False


def _is_short(layer: keras.layers.RNN) -> bool:
    steps = {node.input_tensors[0].shape[1] for node in layer._inbound_nodes}
    shape = getattr(layer, "_build_shapes_dict", None) or {}
    for value in shape.values():
        if isinstance(value, (tuple, list)) and len(value) == 3:
            steps.add(value[1])
    return bool(steps) and None not in steps and max(steps) <= MOST_STEPS

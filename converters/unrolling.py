"""Recurrent layers unrolled over time while a model is traced.

Integer files have no loops here: a fixed number of steps, one after the other, needs none, and is
made of ops that every runtime has.
"""

from collections.abc import Callable, Iterator
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
        # Past Keras's tracking of attributes, so that nothing of it remains.
        vars(layer)["inner_loop"] = _with_turned_mask(layer)
    try:
        yield layers
    finally:
        for layer in layers:
            layer.unroll = False
            del vars(layer)["inner_loop"]


def _with_turned_mask(layer: keras.layers.RNN) -> Callable:
    """The layer's loop; backwards over a mask it is the loop forwards over both turned round.

    Keras's own, unrolled, hides outputs by the mask as it is.
    """
    loop = layer.inner_loop

    def inner_loop(sequences, initial_state, mask, training=False):
        if mask is None or not layer.go_backwards:
            return loop(sequences, initial_state, mask, training=training)
        mask = keras.tree.flatten(mask)[0]
        layer.go_backwards = False
        try:
            sequences, mask = keras.ops.flip(sequences, 1), keras.ops.flip(mask, 1)
            return loop(sequences, initial_state, mask, training=training)
        finally:
            layer.go_backwards = True

    return inner_loop


def _is_short(layer: keras.layers.RNN) -> bool:
    steps = {node.input_tensors[0].shape[1] for node in layer._inbound_nodes}
    shape = getattr(layer, "_build_shapes_dict", None) or {}
    for value in shape.values():
        if isinstance(value, (tuple, list)) and len(value) == 3:
            steps.add(value[1])
    return bool(steps) and None not in steps and max(steps) <= MOST_STEPS

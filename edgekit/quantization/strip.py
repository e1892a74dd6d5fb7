"""`strip`: the plain model inside a quantisation-aware one."""

import keras

from edgekit.core.graph import Cloner, Graph, fill_in
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.quantize_wrapper import QuantizeWrapper


def strip(model: keras.Model) -> keras.Model:
    """The model with plain Keras layers and the weights that training left in them.

    Layers have the names and order of the model that `quantize_aware` was given. The weights
    are the float ones that trained, not rounded; sparse ones stay sparse.

    Example:
        >>> plain = ek.strip(qat)
        >>> plain.get_layer("conv").kernel

    Args:
        model: A model from `ek.quantize_aware`, or any Functional or Sequential one, of
            which this is then a copy.

    Returns:
        A new, uncompiled Functional model.

    Raises:
        ValueError: The model is subclassed or not built.
    """
    graph = Graph(model)
    clone = Cloner()
    plain: dict[str, tuple[keras.layers.Layer, keras.layers.Layer]] = {}

    def emit(call, values):
        layer = call.operation
        if isinstance(layer, FakeQuantize):
            values[id(call.outputs[0])] = values[id(call.input_tensors[0])]
            return
        args, kwargs = fill_in(call, values)
        if isinstance(layer, QuantizeWrapper):
            # By name: an activation that followed several layers was one layer.
            pairs = [
                plain.setdefault(trained.name, (trained, new))
                for trained, new in zip(layer.inner_layers(), layer.plain_layers(), strict=True)
            ]
            values[id(call.outputs[0])] = _apply([new for _, new in pairs], args[0], kwargs)
            return
        for old, new in zip(
            call.outputs, keras.tree.flatten(clone(layer)(*args, **kwargs)), strict=True
        ):
            values[id(old)] = new

    stripped = graph.rebuild(emit)
    clone.copy_weights()
    for trained, new in plain.values():
        new.set_weights(trained.get_weights())
        new.trainable = trained.trainable
    return stripped


def _apply(layers, tensor, kwargs):
    for layer in layers:
        # A wrapper is called with a flag only where its BatchNormalization was.
        flags = kwargs if isinstance(layer, keras.layers.BatchNormalization) else {}
        tensor = layer(tensor, **flags)
    return tensor

"""`strip`: the plain model inside a quantisation-aware one."""

import keras

from edgekit.core.graph import Cloner, Graph, copy_state, fill_in
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.policy import Kind, kind_of
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
    return _Stripper().strip(model)


class _Stripper:
    """Rebuilds a graph with plain layers; a layer that is used twice stays one layer."""

    def __init__(self):
        self.clone = Cloner()
        self.plain: dict[str, tuple[keras.layers.Layer, keras.layers.Layer]] = {}
        self.nested: dict[int, keras.Model] = {}

    def strip(self, model: keras.Model) -> keras.Model:
        stripped = Graph(model).rebuild(self._emit)
        self.clone.copy_weights()
        for trained, new in self.plain.values():
            copy_state(trained, new)
        return stripped

    def _emit(self, call, values) -> None:
        layer = call.operation
        if isinstance(layer, (FakeQuantize, KernelQuantizer)):
            values[id(call.outputs[0])] = values[id(call.input_tensors[0])]
            return
        args, kwargs = fill_in(call, values)
        if isinstance(layer, QuantizeWrapper):
            # By name: an activation that followed several layers was one layer.
            pairs = [
                self.plain.setdefault(trained.name, (trained, new))
                for trained, new in zip(layer.inner_layers(), layer.plain_layers(), strict=True)
            ]
            outputs = layer.apply_plain([new for _, new in pairs], args[0], **kwargs)
        elif kind_of(layer) == Kind.NESTED:
            if id(layer) not in self.nested:
                self.nested[id(layer)] = _Stripper().strip(layer)
            outputs = self.nested[id(layer)](*args, **kwargs)
        else:
            outputs = self.clone(layer)(*args, **kwargs)
        for old, new in zip(call.outputs, keras.tree.flatten(outputs), strict=True):
            values[id(old)] = new

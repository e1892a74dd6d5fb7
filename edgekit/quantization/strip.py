"""`strip`: the plain model inside a quantisation-aware one."""

import keras

from edgekit.core.graph import Cloner, Graph, copy_state, fill_in
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.graph_quantizer import RENAMED
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
    stripper = _Stripper()
    stripped = stripper.rebuild(model)
    stripper.copy_weights()
    return stripped


class _Stripper:
    """Rebuilds graphs with plain layers; a layer that is used twice stays one layer."""

    def __init__(self):
        self.clone = Cloner()
        self.plain: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}
        self.nested: dict[int, keras.Model] = {}

    def rebuild(self, model: keras.Model) -> keras.Model:
        names: dict[str, keras.layers.Layer] = {}
        graph = Graph(model)
        self._give_names_back(graph)
        return graph.rebuild(lambda call, values: self._emit(call, values, names))

    def copy_weights(self) -> None:
        self.clone.copy_weights()
        for trained, new in self.plain.values():
            copy_state(trained, new)

    def _give_names_back(self, graph: Graph) -> None:
        """What computes an output has handed its name on to the rounding of it."""
        for call in graph.calls:
            if isinstance(call.operation, FakeQuantize):
                source = call.input_tensors[0]._keras_history.operation
                handed_on = source.name == f"{RENAMED}{call.operation.name}"
                if handed_on and not isinstance(source, QuantizeWrapper):
                    self.clone(source).name = call.operation.name

    def _emit(self, call, values, names) -> None:
        layer = call.operation
        if isinstance(layer, (FakeQuantize, KernelQuantizer)):
            values[id(call.outputs[0])] = values[id(call.input_tensors[0])]
            return
        args, kwargs = fill_in(call, values)
        kwargs.pop("site", None)  # of a call that has ranges of its own
        if isinstance(layer, QuantizeWrapper):
            outputs = layer.apply_plain(self._plain_layers(layer, names), args[0], **kwargs)
        elif kind_of(layer) == Kind.NESTED:
            if id(layer) not in self.nested:
                self.nested[id(layer)] = self.rebuild(layer)
            outputs = self.nested[id(layer)](*args, **kwargs)
        else:
            outputs = self.clone(layer)(*args, **kwargs)
        for old, new in zip(call.outputs, keras.tree.flatten(outputs), strict=True):
            values[id(old)] = new

    def _plain_layers(self, wrapper: QuantizeWrapper, names) -> list[keras.layers.Layer]:
        found = []
        for trained, new in zip(wrapper.inner_layers(), wrapper.plain_layers(), strict=True):
            # By name too: once saved, an activation behind several layers is several objects.
            new = names.setdefault(trained.name, self.plain.get(id(trained), (None, new))[1])
            found.append(self.plain.setdefault(id(trained), (trained, new))[1])
        return found

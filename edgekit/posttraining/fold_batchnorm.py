"""`fold_batchnorm`: BatchNormalization taken into the layer before it."""

from collections import Counter

import keras
from keras import layers as kl

from edgekit.core.batchnorm import fold, full_precision, scale_channels
from edgekit.core.graph import Cloner, Graph, fill_in
from edgekit.core.kernel_layout import kernel_layout, kernel_of
from edgekit.posttraining.plain_layers import has_plain_kernel, is_plain


def fold_batchnorm(model: keras.Model) -> keras.Model:
    """The model with each BatchNormalization folded into the linear layer before it.

    What the two compute at inference, one layer computes: `y = W'x + b'` with `W' = W·γ/σ` and
    `b' = β + (b − μ)·γ/σ`. A BatchNormalization that follows anything else stays, and so does
    one of a class of your own that changes what Keras's computes, or behind such a layer.

    Example:
        >>> plain = fold_batchnorm(model)
        >>> np.allclose(plain.predict(x), model.predict(x), atol=1e-4)
        True

    Args:
        model: A built Functional or Sequential model. It stays as it is.

    Returns:
        A new, uncompiled Functional model, nested models folded too.

    Raises:
        ValueError: A subclassed or unbuilt model.

    Source: Jacob et al. 2018, arXiv 1712.05877, section 3.2.
    """
    return _Folder(model).rebuild()


def find_folds(graph: Graph) -> dict[int, tuple]:
    """`{id(BatchNormalization): (its call, the call of the layer that can take it in)}`."""
    makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
    uses = Counter(id(call.operation) for call in graph.calls)
    found = {}
    for call in graph.calls:
        before = makers.get(id(call.input_tensors[0])) if call.input_tensors else None
        if (
            before is not None
            and is_plain(call.operation, kl.BatchNormalization)
            and uses[id(call.operation)] == uses[id(before.operation)] == 1
            and graph.sole_consumer(before.outputs[0]) is call
            and _is_linear(before.operation)
            and _is_over_channels(call)
        ):
            found[id(call.operation)] = call, before
    return found


def _is_linear(layer) -> bool:
    if not has_plain_kernel(layer):
        return False
    channels_last = getattr(layer, "data_format", "channels_last") == "channels_last"
    return layer.activation is keras.activations.linear and channels_last


def _is_over_channels(call) -> bool:
    rank = len(call.input_tensors[0].shape)
    return call.operation.axis in (-1, rank - 1)


class _Folder:
    """Emits the calls of a model anew, pairs as one layer."""

    def __init__(self, model: keras.Model):
        self.graph = Graph(model)
        self.clone = Cloner()
        folds = find_folds(self.graph)
        self.folded = set(folds)
        self.taking = {id(before.operation): call.operation for call, before in folds.values()}
        self.new: list[tuple[keras.layers.Layer, keras.layers.Layer]] = []
        self.nested: dict[int, keras.Model] = {}

    def rebuild(self) -> keras.Model:
        model = self.graph.rebuild(self._emit)
        self.clone.copy_weights()
        for original, layer in self.new:
            _take_in(original, self.taking[id(original)], layer)
        return model

    def _emit(self, call, values) -> None:
        if id(call.operation) in self.folded:
            values[id(call.outputs[0])] = values[id(call.input_tensors[0])]
            return
        args, kwargs = fill_in(call, values)
        outputs = keras.tree.flatten(self._layer(call.operation)(*args, **kwargs))
        for old, new in zip(call.outputs, outputs, strict=True):
            values[id(old)] = new

    def _layer(self, operation):
        if id(operation) in self.taking:
            config = {**operation.get_config(), "use_bias": True}
            self.new.append((operation, type(operation).from_config(config)))
            return self.new[-1][1]
        if isinstance(operation, keras.Model):
            if id(operation) not in self.nested:
                self.nested[id(operation)] = fold_batchnorm(operation)
            return self.nested[id(operation)]
        return self.clone(operation)


def _take_in(original, batchnorm, layer) -> None:
    factor, shift = fold(batchnorm, batchnorm.moving_mean, batchnorm.moving_variance)
    axes = kernel_layout(original).channel_axes
    kernel_of(layer).assign(scale_channels(full_precision(kernel_of(original)), factor, axes))
    bias = full_precision(original.bias) * factor if original.use_bias else 0.0
    layer.bias.assign(bias + shift)
    layer.trainable = original.trainable

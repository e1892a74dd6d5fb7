"""`correct_bias`: what rounding kernels shifts on average, taken out of the biases."""

from collections import Counter

import keras
import numpy as np
from keras import ops, tree

from edgekit.core.graph import Graph, fill_in
from edgekit.core.kernel_layout import kernel_layout
from edgekit.posttraining.fold_batchnorm import fold_batchnorm
from edgekit.posttraining.rounding import check_bits, rounded_kernel


def correct_bias(model: keras.Model, data, bits: int = 8, per_channel: bool = True) -> keras.Model:
    """The model with biases that undo what rounding its kernels shifts on average.

    Rounding errors of a kernel do not cancel where inputs are not centred, as after ReLU: each
    output channel moves by their sum. Layer by layer, that is measured on samples, with all
    layers before rounded and corrected already, and subtracted from the bias. BatchNormalization
    is folded first. Kernels stay as they are; it is the converter that rounds them.

    Example:
        >>> better = correct_bias(model, x_train[:256], bits=4)
        >>> ek.convert(better, "int4", calibration=x_train[:256])

    Args:
        model: A built Functional or Sequential model. It stays as it is.
        data: Samples like those the model will see: a `(samples, ...)` array, or one for each
            input as a list. A few hundred are enough.
        bits: Width the kernels will be rounded to, 2 to 8. Defaults to `8`.
        per_channel: Whether each output channel will have a step of its own. Defaults to
            `True`, as the converter has it.

    Returns:
        A new, uncompiled Functional model of plain layers. Layers without a bias stay.

    Raises:
        ValueError: Wrong bits, no samples or not those of the model's inputs, a subclassed or
            unbuilt model.

    Source: Nagel et al. 2019, Data-Free Quantization, arXiv 1906.04721, section 4.2.
    """
    check_bits(bits)
    folded = fold_batchnorm(model)
    graph = Graph(folded)
    arrays = _arrays(data, graph)
    _Corrector(bits, per_channel).run(graph, arrays, arrays)
    return folded


def _arrays(data, graph: Graph) -> list:
    arrays = list(data) if isinstance(data, (list, tuple)) else [data]
    shapes = [tuple(tensor.shape) for tensor in graph.inputs]
    if len(arrays) != len(shapes):
        raise ValueError(
            f"`data` must hold an array for each of the model's {len(shapes)} inputs. Received: "
            f"{len(arrays)}"
        )
    for array, shape, tensor in zip(arrays, shapes, graph.inputs, strict=True):
        found = np.shape(array)
        if len(found) != len(shape) or not found[0]:
            raise ValueError(f"`data` must have shape {shape} with samples. Received: {found}")
        if np.issubdtype(np.asarray(array).dtype, np.floating) and not np.isfinite(array).all():
            raise ValueError(f"`data` for {tensor.name!r} holds NaN or infinite values")
    return [
        ops.convert_to_tensor(a, dtype=t.dtype) for a, t in zip(arrays, graph.inputs, strict=True)
    ]


class _Corrector:
    """Runs a graph twice side by side, as it is and rounded, correcting the second."""

    def __init__(self, bits: int, per_channel: bool):
        self.bits, self.per_channel = bits, per_channel

    def run(self, graph: Graph, plain: list, rounded: list) -> tuple[list, list]:
        """The outputs of both."""
        values = {
            id(t): v for t, v in zip(graph.inputs, zip(plain, rounded, strict=True), strict=True)
        }
        uses = Counter(id(call.operation) for call in graph.calls)
        for call in graph.calls:
            sides = [
                fill_in(call, {key: pair[side] for key, pair in values.items()}) for side in (0, 1)
            ]
            found = self._call(call, sides, uses[id(call.operation)] == 1)
            for tensor, pair in zip(call.outputs, zip(*found, strict=True), strict=True):
                values[id(tensor)] = pair
        outputs = [values[id(tensor)] for tensor in graph.outputs]
        return [pair[0] for pair in outputs], [pair[1] for pair in outputs]

    def _call(self, call, sides, once: bool) -> tuple[list, list]:
        layer = call.operation
        if once and isinstance(layer, (keras.Sequential, keras.Model)):
            inputs = [tree.flatten(args) for args, _ in sides]
            return self.run(Graph(layer), *inputs)
        if once and _has_kernel(layer):
            return self._correct(layer, *(args[0] for args, _ in sides))
        return tuple(tree.flatten(layer(*args, **_inference(kwargs))) for args, kwargs in sides)

    def _correct(self, layer, plain, rounded) -> tuple[list, list]:
        kernel = getattr(layer, kernel_layout(layer).attribute)
        mapping = [
            (kernel, ops.convert_to_tensor(rounded_kernel(layer, self.bits, self.per_channel)))
        ]
        output = layer(plain)
        activation, layer.activation = layer.activation, keras.activations.linear
        if layer.use_bias:
            # Both are linear, so the mean output is the output of the mean input.
            mean = layer(ops.mean(plain, axis=0, keepdims=True))
            with keras.StatelessScope(state_mapping=mapping):
                shifted = layer(ops.mean(rounded, axis=0, keepdims=True))
            shift = ops.mean(shifted - mean, axis=list(range(len(mean.shape) - 1)))
        layer.activation = activation
        if layer.use_bias:
            corrected = layer.bias - shift
            mapping.append((layer.bias, corrected))
        with keras.StatelessScope(state_mapping=mapping):
            output_rounded = layer(rounded)
        if layer.use_bias:
            layer.bias.assign(corrected)
        return [output], [output_rounded]


def _has_kernel(layer) -> bool:
    try:
        kernel_layout(layer)
    except ValueError:
        return False
    return True


def _inference(kwargs: dict) -> dict:
    return {**kwargs, "training": False} if "training" in kwargs else kwargs

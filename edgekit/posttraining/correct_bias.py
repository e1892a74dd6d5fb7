"""`correct_bias`: what rounding kernels shifts on average, taken out of the biases."""

import keras
import numpy as np
from keras import ops

from edgekit.core.graph import Graph
from edgekit.core.kernel_layout import kernel_of
from edgekit.core.low_rank import check_plain
from edgekit.posttraining.fold_batchnorm import fold_batchnorm
from edgekit.posttraining.rounding import check_bits, rounded_kernel
from edgekit.posttraining.side_by_side import SideBySide, apply, samples_of


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
            input as a list or a dict by name. A few hundred are enough.
        bits: Width the kernels will be rounded to, 2 to 8. Defaults to `8`.
        per_channel: Whether each output channel will have a step of its own. Defaults to
            `True`, as the converter has it.

    Returns:
        A new, uncompiled Functional model of plain layers. Layers without a bias stay.

    Raises:
        ValueError: Layers with LoRA or quantized by Keras,
            wrong bits, no samples or not those of the model's inputs, a subclassed or
            unbuilt model.

    Source: Nagel et al. 2019, Data-Free Quantization, arXiv 1906.04721, section 4.2.
    """
    check_bits(bits)
    check_plain(model)
    folded = fold_batchnorm(model)
    graph = Graph(folded)
    arrays = samples_of(data, graph)

    def treat(layer, plain, rounded):
        return _correct(layer, plain, rounded, rounded_kernel(layer, bits, per_channel))

    SideBySide(treat).treat_all(graph, arrays, "correct_bias")
    return folded


def _correct(layer, plain, rounded, steps) -> tuple[np.ndarray, np.ndarray]:
    """Correct the layer's bias; its outputs as it was and as it will be."""
    output = apply(layer, plain)
    mapping = [(kernel_of(layer), ops.convert_to_tensor(steps))]
    if layer.use_bias:
        activation, layer.activation = layer.activation, keras.activations.linear
        # Both are linear, so the mean output is the output of the mean input.
        before = apply(layer, plain.mean(axis=0, keepdims=True))
        after = apply(layer, rounded.mean(axis=0, keepdims=True), mapping)
        layer.activation = activation
        shift = (after - before).mean(axis=tuple(range(before.ndim - 1)))
        layer.bias.assign(np.asarray(layer.bias) - shift)
    return output, apply(layer, rounded, mapping)

"""Multiply-accumulates of a model's layers, from the shapes they are called with."""

import math
from collections.abc import Callable, Iterator, Sequence

import keras
from keras import layers as kl

from edgekit.core.layer_calls import LayerCall, Shape, built_shapes, symbolic_run
from edgekit.core.selection import all_layers

Macs = int | None


def macs_per_layer(model: keras.Model) -> dict[keras.layers.Layer, Macs]:
    """`{layer: multiply-accumulates}` for one sample; None where shapes are open.

    Zeros in the kernels count too: the figure says what a dense kernel computes. A layer that is
    called twice counts twice. Of a kind without a formula, and of the model itself, it is what the
    operations multiply that its own code calls (on TensorFlow); such a layer is not in the dict
    where they multiply nothing.

    Args:
        model: A built model, of any kind. Where it cannot be run on symbolic tensors, each
            layer counts once, at the shapes it was built for.
    """
    total: dict[keras.layers.Layer, Macs] = {}

    def add(found: Iterator[tuple[keras.layers.Layer, Macs]]) -> None:
        for layer, macs in found:
            before = total.get(layer, 0)
            total[layer] = None if None in (before, macs) else before + macs

    layers = all_layers(model)
    in_loops = {
        inner for layer in layers if isinstance(layer, kl.RNN) for inner in all_layers(layer)
    }
    try:
        run = symbolic_run(model)
    except Exception:  # it is the user's code: it may raise anything
        for layer in layers:
            if layer not in in_loops:
                add(_when_built(layer))
        total[model] = None  # and what its operations multiply, nobody saw
        return total
    for call in run.calls:
        if call.layer not in in_loops:
            add(_of_call(call))
    called = {call.layer for call in run.calls}
    by_formula = set(total)
    for layer, macs in run.counted.own.items():
        inner = _wrapped(layer)
        # Those of quantization-aware training compute the layer inside without calling it.
        counted = layer if inner is None or inner in called else inner
        if counted not in by_formula:
            add(iter([(counted, macs)]))
    return {layer: macs if macs is None else macs // run.batch for layer, macs in total.items()}


def _wrapped(layer: keras.layers.Layer) -> keras.layers.Layer | None:
    """The layer, or the recurrent cell, inside a wrapper."""
    if isinstance(layer, kl.RNN):
        return None
    inner = getattr(layer, "layer" if isinstance(layer, kl.Wrapper) else "cell", None)
    return inner if isinstance(inner, keras.layers.Layer) else None


def _of_call(call: LayerCall) -> Iterator[tuple[keras.layers.Layer, Macs]]:
    yield from _macs(call.layer, call.inputs, call.output)
    if isinstance(call.layer, kl.TimeDistributed):
        if call.inputs[0][1] is None:  # then the layer inside is called once for all steps
            yield from _unknown(call.layer)
    elif isinstance(call.layer, kl.Wrapper):
        inner = call.layer.layer
        if all(other.layer is not inner for other in call.inside):
            yield from _macs(inner, call.inputs, call.output)


def _when_built(layer: keras.layers.Layer) -> Iterator[tuple[keras.layers.Layer, Macs]]:
    if isinstance(layer, kl.TimeDistributed):  # it builds the layer inside for one step
        yield from _unknown(layer)
    inputs = built_shapes(layer)
    if inputs and _formula(layer) is not None or isinstance(layer, kl.RNN):
        yield from _macs(layer, inputs, tuple(layer.compute_output_shape(inputs[0])))


def _macs(
    layer: keras.layers.Layer, inputs: Sequence[Shape], output: Shape
) -> Iterator[tuple[keras.layers.Layer, Macs]]:
    """The layer with its MACs; a recurrent layer's are its cells', which hold the kernels."""
    if isinstance(layer, kl.RNN):
        batch, steps = inputs[0][:2]
        for cell in getattr(layer.cell, "cells", [layer.cell]):
            if hasattr(cell, "kernel") and hasattr(cell, "recurrent_kernel"):
                spatial = _spatial(cell, output) if len(cell.kernel.shape) > 2 else ()
                kernels = math.prod(cell.kernel.shape) + math.prod(cell.recurrent_kernel.shape)
                yield cell, _times(batch, steps, *spatial, kernels)
        return
    formula = _formula(layer)
    if formula is not None:
        yield layer, formula(layer, inputs, output)


def _unknown(outer: keras.layers.Layer) -> Iterator[tuple[keras.layers.Layer, Macs]]:
    return ((layer, None) for layer in all_layers(outer) if _formula(layer) is not None)


def _formula(layer: keras.layers.Layer) -> Callable[..., Macs] | None:
    if not type(layer).call.__module__.startswith("keras."):
        return None  # the user's own code, which may compute more or something else
    return next((formula for kinds, formula in _FORMULAS.items() if isinstance(layer, kinds)), None)


def _times(*sizes: int | None) -> Macs:
    return None if None in sizes else math.prod(sizes)


def _spatial(layer, output: Shape) -> Shape:
    """The output's dimensions that a convolution slides over."""
    rank = len(layer.kernel_size)
    return output[-rank:] if layer.data_format == "channels_first" else output[-rank - 1 : -1]


def _dense(layer, inputs, output):
    return _times(*output, inputs[0][-1])


def _einsum(layer, inputs, output):
    _, kernel, result = layer.equation.replace("->", ",").replace(" ", "").split(",")
    if "." in kernel:
        return None
    sizes = zip(kernel, layer.kernel.shape, strict=True)
    return _times(*output, *(size for label, size in sizes if label not in result))


def _conv(layer, inputs, output):
    return _times(*output, *layer.kernel.shape[:-1])


def _conv_transpose(layer, inputs, output):
    # Each input element is multiplied with the kernel of its channel.
    return _times(*inputs[0], *layer.kernel.shape[:-1])


def _depthwise(layer, inputs, output):
    return _times(*output, *layer.kernel.shape[:-2])


def _separable(layer, inputs, output):
    kernels = math.prod(layer.depthwise_kernel.shape) + math.prod(layer.pointwise_kernel.shape)
    return _times(output[0], *_spatial(layer, output), kernels)


def _embedding(layer, inputs, output):
    # A reversible one multiplies on its way back.
    looked_up = len(output) > len(inputs[0])
    return 0 if looked_up else _times(*inputs[0], layer.input_dim)


def _multi_head(layer, inputs, output):
    # Scores and the sum they weigh; the projections are layers of their own.
    query, value = inputs[0], inputs[min(1, len(inputs) - 1)]
    axes = layer.get_config()["attention_axes"] or range(1, len(value) - 1)
    axes = [axes] if isinstance(axes, int) else axes
    sizes = layer.num_heads * (layer.key_dim + layer.value_dim)
    return _times(*query[:-1], *(value[axis] for axis in axes), sizes)


def _grouped_query(layer, inputs, output):
    query, value = inputs[0], inputs[min(1, len(inputs) - 1)]
    return _times(*query[:-1], value[1], 2 * layer.num_query_heads * layer.head_dim)


def _attention(layer, inputs, output):
    query, value = inputs[:2]
    return _times(*query[:-1], value[1], query[-1] + value[-1])


def _additive_attention(layer, inputs, output):
    # Its scores are sums of elementwise work.
    query, value = inputs[:2]
    return _times(*query[:-1], *value[1:])


def _dot(layer, inputs, output):
    axis = layer.axes if isinstance(layer.axes, int) else layer.axes[0]
    return _times(*output, inputs[0][axis])


_FORMULAS: dict[tuple[type, ...], Callable[..., Macs]] = {
    (kl.Dense,): _dense,
    (kl.EinsumDense,): _einsum,
    (kl.Conv1D, kl.Conv2D, kl.Conv3D): _conv,
    (kl.Conv1DTranspose, kl.Conv2DTranspose, kl.Conv3DTranspose): _conv_transpose,
    (kl.DepthwiseConv1D, kl.DepthwiseConv2D): _depthwise,
    (kl.SeparableConv1D, kl.SeparableConv2D): _separable,
    (kl.Embedding,): _embedding,
    (kl.MultiHeadAttention,): _multi_head,
    (kl.GroupQueryAttention,): _grouped_query,
    (kl.AdditiveAttention,): _additive_attention,  # a subclass of the next
    (kl.Attention,): _attention,
    (kl.Dot,): _dot,
}

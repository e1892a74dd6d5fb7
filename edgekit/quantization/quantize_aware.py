"""`quantize_aware`: a copy of a model that trains with the rounding of integer arithmetic."""

from dataclasses import dataclass

import keras

from edgekit.core.graph import Cloner, Graph, fill_in, source_name
from edgekit.core.selection import LayerFilter, select_layers
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.policy import ACTIVATIONS, Kind, activation_of, kind_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper
from edgekit.quantization.quantized_add import QuantizedAdd
from edgekit.quantization.quantized_layer import QuantizedLayer
from edgekit.quantization.quantized_separable import QuantizedSeparableConv2D
from edgekit.quantization.units import Units

SCHEMES = ("int8",)


def quantize_aware(
    model: keras.Model, scheme: str = "int8", layers: LayerFilter = None
) -> keras.Model:
    """A copy of the model that computes as its int8 LiteRT file will, ready to train.

    Kernels are rounded to 8-bit integers, one scale per output channel (one per tensor for
    Dense); activations to 8-bit integers over ranges followed from the training data. The
    float weights underneath are what trains. BatchNorm, and ReLU and ReLU6, are computed
    inside the layer before them, as on the device. The model that was given is not changed.

    Example:
        >>> qat = ek.quantize_aware(model, "int8")
        >>> qat.compile("adam", "sparse_categorical_crossentropy")
        >>> qat.fit(x, y)
        >>> ek.convert(qat, ["int8"])["int8"].save("model.tflite")

    Args:
        model: A built Functional or Sequential model.
        scheme: `"int8"`. Defaults to `"int8"`.
        layers: Which layers become integer: a regular expression on the path, a list of them,
            or a callable on the layer. The rest stays float. Defaults to `None`: all.

    Returns:
        A new, uncompiled Functional model with the same weights, inputs and outputs.

    Raises:
        ValueError: An unknown scheme, a subclassed or unbuilt model, or layers that cannot be
            quantised; the message names each with its path and reason.

    Source: Jacob et al. 2018, arXiv 1712.05877; Krishnamoorthi 2018, arXiv 1806.08342.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"`scheme` must be one of {SCHEMES}. Received: scheme={scheme!r}")
    graph = Graph(model)
    called = dict.fromkeys(call.operation for call in graph.calls)
    if any(isinstance(op, (FakeQuantize, QuantizeWrapper)) for op in called):
        raise ValueError(f"model {model.name!r} is quantisation-aware already")
    named = [op for op in called if isinstance(op, keras.layers.Layer)]
    # An operation that is no layer has no path to be selected by: it goes with the rest.
    chosen = set(called) if layers is None else set(select_layers(named, layers))
    return _Builder(graph, Units(graph, chosen)).build()


@dataclass
class _Value:
    """A tensor of the new model: as computed, and as rounded once something needs it so."""

    raw: keras.KerasTensor
    name: str
    rounded: keras.KerasTensor | None = None
    rounding: FakeQuantize | None = None

    @property
    def tensor(self) -> keras.KerasTensor:
        return self.raw if self.rounded is None else self.rounded


class _Builder:
    """Builds the quantisation-aware model, call by call."""

    def __init__(self, graph: Graph, units: Units):
        self.graph = graph
        self.units = units
        self.clone = Cloner()
        self.wrappers: dict[int, QuantizeWrapper] = {}
        self.names: dict[str, int] = {}

    def build(self) -> keras.Model:
        model = self.graph.rebuild(self._emit, read=lambda v: _as_value(v).tensor)
        self.clone.copy_weights()
        return model

    def _emit(self, call, values) -> None:
        if self.units.absorbed(call):
            return
        kind = self.units.kind(call)
        if kind is None:
            self._emit_float(call, values)
        elif kind == Kind.WEIGHTED:
            self._emit_weighted(call, values)
        elif kind in (Kind.VIEW, Kind.SAME_GRID):
            self._emit_on_grid_of_input(call, values, kind)
        else:
            self._emit_compute(call, values, kind)

    def _emit_float(self, call, values):
        args, kwargs = fill_in(call, {id(t): self._readable(values, t) for t in call.input_tensors})
        outputs = keras.tree.flatten(self.clone(call.operation)(*args, **kwargs))
        for old, new in zip(call.outputs, outputs, strict=True):
            values[id(old)] = _Value(new, call.operation.name)

    def _emit_weighted(self, call, values):
        tail = self.units.tail(call)
        wrapper = self._wrapper(call, [follower.operation for follower in tail])
        source = self._rounded(values, call.input_tensors[0])
        flags = [c.arguments.kwargs["training"] for c in tail if "training" in c.arguments.kwargs]
        outputs = wrapper(source, training=flags[0]) if flags else wrapper(source)
        self._finish(tail[-1] if tail else call, outputs, values, wrapper.output_range)

    def _emit_compute(self, call, values, kind):
        tail = self.units.tail(call)
        read = self._readable if kind == Kind.CONCAT else self._rounded
        tensors = {id(t): read(values, t) for t in call.input_tensors}
        args, kwargs = fill_in(call, tensors)
        layer = self._adder(call) if len(call.input_tensors) > 2 else self.clone(call.operation)
        outputs = layer(*args, **kwargs)
        fixed_range = None
        if kind == Kind.ACTIVATION:
            fixed_range = ACTIVATIONS[activation_of(call.operation)].fixed_range
        for follower in tail:
            outputs = self.clone(follower.operation)(outputs)
        self._finish(tail[-1] if tail else call, outputs, values, fixed_range)

    def _emit_on_grid_of_input(self, call, values, kind):
        source_tensor = call.input_tensors[0]
        deferred = kind == Kind.VIEW and self.units.feeds_concat(source_tensor)
        tensor = (self._readable if deferred else self._rounded)(values, source_tensor)
        args, kwargs = fill_in(call, {id(source_tensor): tensor})
        outputs = self.clone(call.operation)(*args, **kwargs)
        source = values[id(source_tensor)]
        value = _Value(outputs, call.operation.name, rounding=source.rounding)
        if kind == Kind.SAME_GRID:
            value.rounded = source.rounding(outputs, observe=False)
        elif source.rounded is not None:
            value.rounded = outputs
        values[id(call.outputs[0])] = value

    def _wrapper(self, call, tail) -> QuantizedLayer:
        layer = call.operation
        if id(layer) not in self.wrappers:
            parts = {kind_of(op): self.clone(op) for op in tail}
            separable = isinstance(layer, keras.layers.SeparableConv2D)
            self.wrappers[id(layer)] = (QuantizedSeparableConv2D if separable else QuantizedLayer)(
                self.clone(layer),
                batchnorm=parts.get(Kind.BATCHNORM),
                activation=parts.get(Kind.ACTIVATION),
            )
        return self.wrappers[id(layer)]

    def _adder(self, call) -> keras.layers.Layer:
        layer = self.clone(call.operation)
        if not isinstance(layer, keras.layers.Add):
            return layer
        return self.wrappers.setdefault(id(call.operation), QuantizedAdd(layer))

    def _finish(self, call, tensor, values, fixed_range=None):
        """Store what a unit computed, rounded unless a Concatenate will do that."""
        old = call.outputs[0]
        value = values[id(old)] = _Value(tensor, call.operation.name)
        if fixed_range or not self.units.feeds_concat(old):
            self._round(value, fixed_range)

    def _readable(self, values, old) -> keras.KerasTensor:
        value = values[id(old)] = _as_value(values[id(old)])
        return value.tensor

    def _rounded(self, values, old) -> keras.KerasTensor:
        value = values[id(old)] = _as_value(values[id(old)])
        if value.rounded is None:
            self._round(value)
        return value.rounded

    def _round(self, value: _Value, fixed_range=None) -> None:
        count = self.names[value.name] = self.names.get(value.name, 0) + 1
        suffix = "" if count == 1 else f"_{count}"
        value.rounding = FakeQuantize(fixed_range=fixed_range, name=f"{value.name}_range{suffix}")
        value.rounded = value.rounding(value.raw)


def _as_value(value) -> _Value:
    """Model inputs enter as plain tensors; everything else is a `_Value` already."""
    return value if isinstance(value, _Value) else _Value(value, source_name(value))

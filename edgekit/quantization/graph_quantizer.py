"""A graph of calls with rounding put where LiteRT rounds: the heart of quantize_aware."""

import math
from collections import Counter
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field, replace

import keras
import numpy as np
from keras import ops, tree

from edgekit.core.graph import Cloner, Graph, fill_in, follow_training, source_name
from edgekit.core.same_class import is_plain
from edgekit.core.tracing import placeholder, trace
from edgekit.quantization.bias_rounding import BiasRounding
from edgekit.quantization.call_sites import RepeatedModel, computation, count_sites, operations_of
from edgekit.quantization.counted_inputs import counted_inputs
from edgekit.quantization.expansions import expansion_of
from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.kernel_arithmetic import arithmetic_of
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.masks import (
    LOWEST_SUMMAND,
    computes_with_mask,
    expect_mask,
    has_mask,
    has_numbers,
    mask_of,
    with_summand_in_reach,
)
from edgekit.quantization.poles import off_poles
from edgekit.quantization.policy import Kind, fixed_range_of, kind_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper
from edgekit.quantization.scheme import QuantScheme
from edgekit.quantization.units import Units
from edgekit.quantization.wrappers import is_rnn, wrap

# What computes an output is called so, as its rounding has its name.
RENAMED = "quant_"

# The channel axes of an operation's second argument, where that is a kernel.
_CHANNEL_AXES = {
    "Conv": (-1,),
    "ConvTranspose": (-2,),
    "DepthwiseConv": (-2, -1),
    "Matmul": (-1,),
}


# What reads numbers and gives none, where that is more than looking at integers.
_NO_OP = "LiteRT has no op for it: give out the scores, or the model has no file"
_COMPARED = "numbers are compared in float"
_FLOAT_READERS = {
    **dict.fromkeys(("Argmax", "Argmin"), _NO_OP),
    **dict.fromkeys(("Equal", "NotEqual"), _COMPARED),
    **dict.fromkeys(("Greater", "GreaterEqual", "Less", "LessEqual"), _COMPARED),
}


_WRAPPED = (Kind.COMPOSITE, Kind.WEIGHTED, Kind.BATCHNORM)


@dataclass
class Value:
    """A tensor of the new graph: as computed, and as rounded once something needs it so."""

    raw: keras.KerasTensor
    name: str
    rounded: keras.KerasTensor | None = None
    rounding: FakeQuantize | None = None
    fixed_range: tuple[float, float] | None = None
    constant: bool = False
    lowest: float | None = None  # what lies below is as good as this
    hidden: float | None = None  # what a mask puts in, before a softmax
    scheme: QuantScheme | None = None  # of what computes it; None for inputs and float

    @property
    def tensor(self) -> keras.KerasTensor:
        return self.raw if self.rounded is None else self.rounded


@dataclass
class QuantizedGraph:
    """What `quantize_graph` makes.

    Args:
        function: Takes the graph's inputs, gives its outputs.
        layers: The layers in it that hold state.
        left_float: `[(what, why)]` that has no integer arithmetic.
        outputs: The outputs' values; some are rounded already.
        weights: The inputs that hold weights.
    """

    function: keras.Function
    layers: list[keras.layers.Layer]
    left_float: list[tuple[str, str]]
    outputs: list[Value]
    weights: list[keras.KerasTensor]

    def start_scales(self, values: list) -> None:
        """Set learned scales to where they start for the weights of now.

        Args:
            values: Of the inputs that hold weights, in float32.
        """
        for layer in self.layers:
            if isinstance(layer, QuantizeWrapper):
                layer.start_scales()
        learned = [x for x in self.layers if isinstance(x, KernelQuantizer) and x.learned]
        if learned:
            # A kernel may come to its rounding transposed and reshaped.
            kernels = keras.Function(self.weights, [layer.input for layer in learned])(values)
            for layer, kernel in zip(learned, kernels, strict=True):
                layer.start_from(kernel)


def quantize_graph(
    graph: Graph,
    scheme: QuantScheme,
    rounded: list[bool],
    constants: list[keras.KerasTensor] = (),
    round_outputs: bool = False,
    runs: int = 1,
    learned: bool | None = None,
    legacy: bool = False,
    masks: bool = True,
) -> QuantizedGraph:
    """The graph with its layers wrapped in place and its tensors rounded.

    Args:
        graph: What a layer or function computes.
        scheme: How to quantise all of it.
        rounded: For each input whether its values are on a grid already.
        constants: The inputs that hold weights. Defaults to none.
        round_outputs: Whether outputs are rounded too, rather than by whoever reads them.
            Defaults to `False`.
        runs: From how many places the graph is run; each has ranges of its own. Defaults to
            `1`.
        learned: Whether scales of kernels are learned. Defaults to `None`: as the scheme says.
        legacy: See `GraphQuantizer`. Defaults to `False`.
        masks: See `GraphQuantizer`. Defaults to `True`.
    """
    quantizer = GraphQuantizer(
        lambda operation: scheme,
        own=lambda layer: layer,
        inside=True,
        sites=count_sites(graph, runs),
        runs=runs,
        learned=learned,
        legacy=legacy,
        masks=masks,
    )
    weights = {id(tensor) for tensor in constants}
    values = {}
    for tensor, on_grid in zip(graph.inputs, rounded, strict=True):
        value = Value(tensor, source_name(tensor), constant=id(tensor) in weights)
        value.rounded = tensor if on_grid else None
        values[id(tensor)] = value
    quantizer.emit(graph, values, constants)
    outputs = [values[id(tensor)] for tensor in graph.outputs]
    if round_outputs:
        for tensor in graph.outputs:
            quantizer.rounded_if_computed(values, tensor)
    structure = tree.pack_sequence_as(
        graph.model._outputs_struct, [value.tensor for value in outputs]
    )
    function = keras.Function(graph.inputs, structure)
    used = {id(operation) for operation in operations_of(Graph(function))}
    layers = [layer for layer in quantizer.layers if id(layer) in used]
    return QuantizedGraph(function, layers, quantizer.left_float, outputs, list(constants))


@dataclass
class GraphQuantizer:
    """Emits a graph's calls anew, with wrappers and rounding.

    Args:
        scheme_of: The scheme of an operation; None leaves it in float.
        own: Gives the layer to use for one of the graph: a clone, or the layer itself.
        inside: Whether the graph is that of a layer, which runs it.
        solitary: Ids of layers that several graphs call: nothing is computed inside them.
        sites: How often each computation is called in all, see `count_sites`.
        runs: From how many places the graph is run.
        learned: Whether scales of kernels are learned; None as the scheme says.
        legacy: Whether the graph is that of a layer from a file of before ranges had sites, which
            has no state for what is rounded since.
        masks: Whether attention with a mask becomes integer; in older files it is float.
    """

    scheme_of: Callable[[keras.Operation], QuantScheme | None]
    own: Cloner | Callable[[keras.Operation], keras.Operation]
    inside: bool = False
    solitary: frozenset[int] = frozenset()
    sites: Mapping[Hashable, int] = field(default_factory=dict)
    runs: int = 1
    learned: bool | None = None
    legacy: bool = False
    masks: bool = True
    layers: list[keras.layers.Layer] = field(default_factory=list)
    left_float: list[tuple[str, str]] = field(default_factory=list)
    wrappers: dict[Hashable, QuantizeWrapper] = field(default_factory=dict)
    nested: dict[int, tuple[keras.Model, list[bool]]] = field(default_factory=dict)
    _calls: Counter[Hashable] = field(default_factory=Counter)
    _holders: dict[int, list[QuantizeWrapper]] = field(default_factory=dict)
    _reported: set[QuantizeWrapper] = field(default_factory=set)
    _kept: set[int] = field(default_factory=set)
    _names: dict[str, int] = field(default_factory=dict)

    def emit(self, graph: Graph, values: dict[int, Value], constants=()) -> None:
        """Emit all calls; `values[id(tensor)]` holds the inputs before and all tensors after."""
        units = Units(graph, lambda op: self.scheme_of(op) is not None, constants, self.solitary)
        if self.masks:
            self._bring_summands_near(graph, units, values)
        # What is computed from weights alone may be needed by a call at the same depth.
        for constants_first in (True, False):
            for call in graph.calls:
                constant = units.constant(call.outputs[0])
                if constant == constants_first and not units.absorbed(call):
                    self._emit_call(call, units, values)

    def _bring_summands_near(self, graph: Graph, units: Units, values) -> None:
        """Let inputs that are added to scores, as masks are, be no lower than ADD can add."""
        for tensor in graph.inputs:
            if not _is_float(tensor) or not units.is_only_added(tensor):
                continue
            value = values[id(tensor)]
            if value.rounded is None:
                value.lowest = LOWEST_SUMMAND
            elif self.inside and units.is_added_to_computed(
                tensor
            ):  # it is on a grid of the graph around this one
                near = ops.maximum(value.rounded, LOWEST_SUMMAND)
                values[id(tensor)] = Value(near, value.name)

    def _emit_call(self, call, units: Units, values) -> None:
        kind, layer = units.kind(call), isinstance(call.operation, keras.layers.Layer)
        chosen = self.scheme_of(call.operation) is not None
        if all(values[id(t)].constant for t in call.input_tensors):
            self._emit_float(call, values, constant=True)
        elif not chosen or not any(_is_float(t) for t in call.outputs):
            why = _FLOAT_READERS.get(type(call.operation).__name__)
            if chosen and why and _data(call):
                self.left_float.append((call.operation.name, why))
            self._emit_float(call, values, read_rounded=chosen)
        elif kind == Kind.NESTED:
            self._emit_nested(call, values)
        elif layer and (kind in _WRAPPED or _is_chain(call) or self._masked(call, values)):
            self._emit_wrapped(call, units.tail(call), values)
        elif kind is None:
            self._emit_expanded(call, values)
        elif kind == Kind.FINE:
            self._emit_fine(call, values)
        elif kind == Kind.WEIGHTED:
            self._emit_weighted_operation(call, units, values)
        elif kind in (Kind.VIEW, Kind.SAME_GRID) and self._moves_data(call, values):
            self._emit_on_grid_of_input(call, units, values, kind)
        else:
            self._emit_compute(call, units, values, kind)

    # Kinds of calls

    def _emit_float(self, call, values, constant=False, read_rounded=False):
        tensors = {id(t): self.rounded_if_computed(values, t) for t in call.input_tensors}
        if read_rounded and type(call.operation).__name__ != "Cast":  # a comparison of integers
            scheme = self.scheme_of(call.operation)
            tensors = {id(t): self._rounded(values, t, scheme) for t in call.input_tensors}
        outputs = self._apply(call, tensors)
        for old, new in zip(call.outputs, outputs, strict=True):
            values[id(old)] = Value(new, call.operation.name, constant=constant)

    def _emit_expanded(self, call, values):
        """Emit what the operation is made of, or leave it in float and say so."""
        bits = self.scheme_of(call.operation).activation_bits
        expand = expansion_of(call.operation, by_length=bits == 8 and not self.legacy)
        why = "LiteRT has no integer kernel for it"
        if not self.masks and has_mask(call):
            expand, why = None, "attention with a mask, in a file from an earlier version"
        if expand is not None:
            try:
                self._expand(call, expand, values)
                return
            except NotImplementedError as error:
                why = str(error)
        if getattr(call.operation, "data_format", None) == "channels_first":
            why = "data_format='channels_first' has no integer kernels in LiteRT"
        elif len(call.input_tensors[0].shape) == 5 and "Pool" in type(call.operation).__name__:
            why = "LiteRT has no kernel for it: a model with it cannot be converted"
        self.left_float.append((f"{call.operation.name} ({type(call.operation).__name__})", why))
        self._emit_float(call, values)

    def _expand(self, call, expand, values):
        olds = list(dict.fromkeys(call.input_tensors))
        ins = [placeholder(values[id(t)].tensor) for t in olds]
        args, kwargs = fill_in(call, {id(t): p for t, p in zip(olds, ins, strict=True)})
        graph = trace(lambda *_: expand(*args, **kwargs), ins)
        inner = {id(p): values[id(t)] for t, p in zip(olds, ins, strict=True)}
        constants = [p for p in ins if inner[id(p)].constant]
        scheme = self.scheme_of(call.operation)
        replace(self, scheme_of=lambda _: scheme).emit(graph, inner, constants)
        for t, p in zip(olds, ins, strict=True):
            values[id(t)] = inner[id(p)]
        for old, new in zip(call.outputs, graph.outputs, strict=True):
            values[id(old)] = inner[id(new)]

    def _emit_fine(self, call, values):
        (source,) = call.input_tensors
        if values[id(source)].rounded is None:
            if call.operation.fixed_range:
                values[id(source)].fixed_range = call.operation.fixed_range
            self._round(values[id(source)], self.scheme_of(call.operation), bits=16)
        values[id(call.outputs[0])] = values[id(source)]

    def _emit_nested(self, call, values):
        model = call.operation
        scheme, counted = self._any_scheme(model), counted_inputs(Graph(model))
        tensors = {
            id(t): values[id(t)].raw if i in counted else self._rounded(values, t, scheme)
            for i, t in enumerate(call.input_tensors)
        }
        if id(model) not in self.nested:
            # Keras may add masks to what it is called with.
            given = call.input_tensors[: len(Graph(model).inputs)]
            masks = [mask_of(tensors[id(t)]) for t in given]
            self.nested[id(model)] = self._quantize_nested(model, masks)
        new_model, on_grid = self.nested[id(model)]
        args, kwargs = fill_in(call, tensors)
        outputs = tree.flatten(new_model(*args, **kwargs, **self._site(call)))
        inner = tree.flatten(new_model.output)
        for old, new, rounded, known in zip(call.outputs, outputs, on_grid, inner, strict=True):
            expect_mask(new, mask_of(known))  # of which Keras says nothing before it runs
            values[id(old)] = Value(new, model.name, rounded=new if rounded else None)

    def _masked(self, call, values) -> bool:
        return computes_with_mask(call, [values[id(t)].tensor for t in call.input_tensors])

    def _any_scheme(self, model):
        found = (self.scheme_of(call.operation) for call in Graph(model).calls)
        return next((scheme for scheme in found if scheme is not None), QuantScheme())

    def _quantize_nested(self, model, masks) -> tuple[keras.Model, list[bool]]:
        # What is shared stays so.
        inner = replace(self, layers=[], left_float=[], runs=self._sites_of(id(model)), _names={})
        new, values = inner.rebuild(Graph(model), inputs_rounded=True, masks=masks)
        self.left_float += [(f"{model.name}/{what}", why) for what, why in inner.left_float]
        self.layers += inner.layers
        return new, [value.rounded is not None for value in values]

    def _emit_wrapped(self, call, tail, values):
        scheme = self.scheme_of(call.operation)
        recurrent, flags = is_rnn(call.operation), self._site(call)
        # Keras hands the mask on, beside what a wrapper of one op is called with.
        alone = recurrent or kind_of(call.operation) in (Kind.WEIGHTED, Kind.BATCHNORM)
        inputs = _data(call) if alone else call.input_tensors
        if isinstance(call.operation, keras.layers.Embedding):
            tensors = [values[id(t)].raw for t in inputs]
        else:
            tensors = [self._rounded(values, t, scheme) for t in inputs]
        if recurrent and call.arguments.kwargs.get("mask") is not None:
            flags["mask"] = fill_in(
                call, {id(t): values[id(t)].tensor for t in call.input_tensors}
            )[1]["mask"]
        key = computation(call)
        if key not in self.wrappers:
            followers = [self.own(part.operation) for part in tail if _is_layer(part)]
            self.wrappers[key] = wrap(
                self.own(call.operation),
                followers,
                call,
                scheme,
                [*map(mask_of, tensors)],
                self._sites_of(key),
                self.learned,
            )
            self._share_layer(call.operation, self.wrappers[key])
        wrapper = self.wrappers[key]
        for part in (call, *tail):
            if part.arguments.kwargs.get("training") is not None:
                flags["training"] = part.arguments.kwargs["training"]
        outputs = tree.flatten(wrapper(tensors[0] if len(tensors) == 1 else tensors, **flags))
        self._follow_training(wrapper)
        self._keep(wrapper)
        for what, why in wrapper.left_float if wrapper not in self._reported else ():
            self.left_float.append((f"{call.operation.name}: {what}", why))
        self._reported.add(wrapper)
        last, facts = tail[-1] if tail else call, wrapper.output_facts(len(outputs))
        if tail and not _is_layer(last):  # an operation, which no wrapper holds
            outputs = self._apply(last, {id(last.input_tensors[0]): outputs[0]})
        for old, new, (on_grid, fixed_range) in zip(last.outputs, outputs, facts, strict=True):
            value = Value(new, last.operation.name, fixed_range=fixed_range, scheme=scheme)
            value.rounded = new if on_grid else None
            values[id(old)] = value

    def _share_layer(self, operation, wrapper) -> None:
        """Let the wrapper be one of several that hold the layer, where it computes several things.

        What the first has taken from the layer is the next one's too.
        """
        first, *others = self._holders.setdefault(id(operation), []) or [wrapper]
        self._holders[id(operation)].append(wrapper)
        if wrapper is not first:
            wrapper.name = f"{first.name}_as_{len(others) + 2}"
            wrapper.activity_regularizer = first.activity_regularizer

    def _emit_weighted_operation(self, call, units, values):
        scheme, tail = self.scheme_of(call.operation), units.tail(call)
        data, kernel, plain_product = call.input_tensors[0], call.input_tensors[-1], False
        axes = _CHANNEL_AXES[type(call.operation).__name__]
        tensors = {id(data): self._rounded(values, data, scheme)}
        if values[id(kernel)].constant and len(kernel.shape) >= 2:
            plain_product = type(call.operation).__name__ != "Matmul" or len(kernel.shape) == 2
            name = self._name(f"{call.operation.name}_quantizer")
            if plain_product:
                quantizer = KernelQuantizer.of(scheme, axes, name, kernel.shape, self.learned)
            else:
                quantizer = KernelQuantizer(name=name)
            tensors[id(kernel)] = quantizer(values[id(kernel)].raw)
            self._keep(quantizer)
        else:
            tensors[id(kernel)] = self._rounded(values, kernel, scheme)
        (output,) = self._apply(call, tensors, round_constants=True)
        biases = {}
        if values[id(kernel)].constant and tail and type(tail[0].operation).__name__ == "Add":
            axes = axes if scheme.per_channel and plain_product else None
            biases = self._rounded_biases(call, tail[0], tensors, values, axes)
        self._finish_unit(call, tail, output, values, replaced=biases)

    def _rounded_biases(self, call, addition, tensors, values, axes) -> dict:
        """What stands for a bias that an addition adds: the same on the grid it has in the file."""
        data, kernel = (tensors[id(t)] for t in (call.input_tensors[0], call.input_tensors[-1]))
        narrow = self.scheme_of(call.operation).weight_bits != 8
        transposed = type(call.operation).__name__ == "ConvTranspose"  # always stored in 8 bits
        channels, rounded = call.outputs[0].shape[-1], {}
        for bias in addition.input_tensors:
            if bias is call.outputs[0] or math.prod(bias.shape) != channels:
                continue
            rounding = BiasRounding(axes, 7 if narrow and not transposed else 127)
            rounded[id(bias)] = rounding([values[id(bias)].raw, kernel, data])
            self._follow_training(rounding)
            self._keep(rounding)
        return rounded

    def _emit_compute(self, call, units, values, kind):
        scheme = self.scheme_of(call.operation)
        tensors = {}
        for t in call.input_tensors:
            # What is picked from comes on the grid of the output, and so do tables of constants.
            value = values[id(t)]
            waits = units.feeds_pick(t) and not value.fixed_range or value.constant
            if kind in (Kind.PICK, Kind.VIEW) and waits:
                tensors[id(t)] = value.tensor
            else:
                tensors[id(t)] = self._rounded(values, t, scheme)
        hidden = units.hidden(call)
        rounding = None
        if kind == Kind.PICK and hidden is None and self._is_rounded_here(call, units):
            rounding = self._brought_to_grid(call, tensors, values, scheme)
        added = units.is_summand(call) or hidden is not None and kind == Kind.COMPUTE
        outputs = self._apply(call, tensors, round_constants=kind == Kind.COMPUTE, added=added)
        if len(outputs) == 1:
            fixed = fixed_range_of(call.operation, scheme.activation_bits)
            if kind == Kind.PICK:
                fixed = self._range_beside_zeros(call, values)
            self._finish_unit(call, units.tail(call), outputs[0], values, fixed)
            if rounding is not None:
                self._round(values[id(call.outputs[0])], scheme, rounding=rounding)
            if hidden is not None:
                values[id(call.outputs[0])].hidden = hidden
            return
        for old, new in zip(call.outputs, outputs, strict=True):
            values[id(old)] = Value(new, call.operation.name, scheme=scheme)

    def _is_rounded_here(self, call, units) -> bool:
        """Whether it is sure that the call's output gets a grid in this graph, of its own."""
        (output,) = call.outputs[:1]
        kinds = [units.kind(reader) for reader in units.consumers(output) if reader is not None]
        # Inside a layer the order of what has a state is that of its files.
        known = bool(kinds) and Kind.FINE not in kinds and not self.inside
        return known and not units.feeds_pick(output)

    def _brought_to_grid(self, call, tensors, values, scheme) -> FakeQuantize | None:
        """The rounding of a call that picks, whose inputs' own kernels bring them to its grid.

        None where none of these departs from rounding once. What is concatenated is known when
        it is rounded; of what is compared, only the larger.
        """
        if type(call.operation).__name__ in ("Concatenate", "Pad"):
            return None
        bits = scheme.activation_bits
        data = {id(t): t for t in _data(call) if not values[id(t)].constant}
        moved = [key for key in data if arithmetic_of(tensors[key], bits) is not None]
        if not moved:
            return None
        fixed = self._range_beside_zeros(call, values)
        rounding = self._new_rounding(Value(None, call.operation.name, fixed_range=fixed), scheme)
        for part, key in enumerate(moved):
            tensors[key] = rounding(tensors[key], observe=False, part=part)
        return rounding

    def _range_beside_zeros(self, call, values) -> tuple[float, float] | None:
        """The prescribed range of what a `where` picks from or replaces by zeros, if one is."""
        data = _data(call)
        if type(call.operation).__name__ != "Where" or len(data) != 1 or has_numbers(call):
            return None
        return values[id(data[0])].fixed_range

    def _moves_data(self, call, values) -> bool:
        """Whether the call has one float input, which is no table of constants."""
        data = _data(call)
        return len(data) == 1 and not values[id(data[0])].constant

    def _emit_on_grid_of_input(self, call, units, values, kind):
        scheme, (source_tensor,) = self.scheme_of(call.operation), _data(call)
        deferred = kind == Kind.VIEW and units.feeds_pick(source_tensor)
        source = values[id(source_tensor)]
        elsewhere = source.rounded is not None and source.rounding is None
        if kind == Kind.SAME_GRID and elsewhere and not self.legacy:
            # It is on a grid of the graph around this one: here it gets one that is known.
            source = values[id(source_tensor)] = replace(source, raw=source.rounded, rounded=None)
        tensors = {id(t): values[id(t)].tensor for t in call.input_tensors}
        if not deferred or source.fixed_range:
            tensors[id(source_tensor)] = self._rounded(values, source_tensor, scheme)
        for old, new in zip(call.outputs, self._apply(call, tensors), strict=True):
            value = Value(new, call.operation.name, rounding=source.rounding, scheme=scheme)
            if kind == Kind.SAME_GRID and source.rounding is not None:
                pools = "Pool" in type(call.operation).__name__
                between = tensors[id(source_tensor)]
                how = {"averages": True} if pools else {"interpolated": True, "between": between}
                value.rounded = source.rounding(new, observe=False, **how)
                self._follow_training(source.rounding)
            elif kind == Kind.VIEW and source.rounded is not None:
                value.rounded = new
            elif kind == Kind.VIEW:
                value.fixed_range = source.fixed_range
            values[id(old)] = value

    # Pieces

    def _apply(self, call, tensors, round_constants=False, added=False) -> list[keras.KerasTensor]:
        args, kwargs = fill_in(call, tensors)
        if added:
            args, kwargs = with_summand_in_reach(args, kwargs)
        operation = self.own(call.operation)
        if isinstance(operation, keras.layers.Layer):
            self._keep(operation)
        elif round_constants:
            args, kwargs = tree.map_structure(_round_constant, (args, kwargs))
        args, moving = off_poles(operation, args, self._name)
        if moving is not None:
            self._follow_training(moving)
            self._keep(moving)
        outputs = tree.flatten(operation(*args, **kwargs))
        self._follow_training(operation)
        return outputs

    def _follow_training(self, operation) -> None:
        if self.inside and isinstance(operation, keras.layers.Layer):
            follow_training(operation)

    def _finish_unit(self, call, tail, output, values, fixed_range=None, replaced=None):
        """Apply what is computed inside the same op, and store the result."""
        replaced = replaced or {}
        previous = call.outputs[0]
        for follower in tail:
            tensors = {
                id(t): replaced.get(id(t), values[id(t)].tensor)
                for t in follower.input_tensors
                if t is not previous
            }
            (output,) = self._apply(follower, {**tensors, id(previous): output})
            previous = follower.outputs[0]
        name = (tail[-1] if tail else call).operation.name
        scheme = self.scheme_of(call.operation)
        values[id(previous)] = Value(output, name, fixed_range=fixed_range, scheme=scheme)

    def _sites_of(self, key: Hashable) -> int:
        return self.sites.get(key, self.runs)

    def _site(self, call) -> dict[str, int]:
        """What a call of a layer or model is told, where several are: how many come before."""
        key = computation(call)
        if self._sites_of(key) == 1:
            return {}
        before = self._calls[key]
        self._calls[key] += self.runs
        return {"site": before}

    def _keep(self, layer) -> None:
        if id(layer) not in self._kept:
            self._kept.add(id(layer))
            self.layers.append(layer)

    def _rounded(self, values, old, scheme) -> keras.KerasTensor:
        value = values[id(old)]
        if value.rounded is None and _is_float(value.raw):
            self._round(value, value.scheme or scheme)
        return value.tensor

    def rounded_if_computed(self, values, old) -> keras.KerasTensor:
        """Rounded if an integer op computes it, as it is if it comes from outside or from float."""
        scheme = values[id(old)].scheme
        return values[id(old)].tensor if scheme is None else self._rounded(values, old, scheme)

    def _round(
        self,
        value: Value,
        scheme: QuantScheme,
        bits: int | None = None,
        rounding: FakeQuantize | None = None,
    ) -> None:
        if value.constant:
            if value.raw.shape == ():
                value.rounded = value.raw
                return
            quantizer = KernelQuantizer(name=self._name(f"{value.name}_quantizer"))
            value.rounded = quantizer(value.raw)
            self._keep(quantizer)
            return
        value.rounding = rounding or self._new_rounding(value, scheme, bits)
        value.rounded = value.rounding(value.raw)
        self._follow_training(value.rounding)
        self._keep(value.rounding)

    def _new_rounding(self, value: Value, scheme: QuantScheme, bits=None) -> FakeQuantize:
        return FakeQuantize.of(
            scheme,
            value.fixed_range,
            bits=bits,
            name=self._name(f"{value.name}_range"),
            sites=self.runs,
            hidden=value.hidden,
            lowest=value.lowest,
        )

    def _name(self, name: str) -> str:
        count = self._names[name] = self._names.get(name, 0) + 1
        return name if count == 1 else f"{name}_{count}"

    # Whole models

    def rebuild(
        self, graph: Graph, inputs_rounded=False, masks=()
    ) -> tuple[keras.Model, list[Value]]:
        """The model of the graph, emitted anew, with what it computes rounded; its outputs."""
        values, inputs = {}, {}
        for old, mask in zip(graph.inputs, masks or [None] * len(graph.inputs), strict=True):
            new = keras.Input(batch_shape=old.shape, dtype=old.dtype, name=source_name(old))
            expect_mask(new, mask)
            inputs[id(old)] = new
            value = values[id(old)] = Value(new, source_name(old))
            value.rounded = new if inputs_rounded or not _is_float(new) else None
        self.emit(graph, values)
        names = {source_name(old) for old in graph.outputs}
        for old in graph.outputs:
            value = values[id(old)]
            if value.scheme is not None and value.rounded is None:
                self._round(value, value.scheme)
            if value.rounding is not None and value.rounding.name not in names:
                _hand_name_on(source_name(old), value)
        tensors = {key: value.tensor for key, value in values.items()}
        # A user's own class is kept where it may be.
        inner = inputs_rounded and is_plain(type(graph.original))
        kind = RepeatedModel if inner or self.runs > 1 else keras.Model
        model = graph.model_like(inputs, tensors, kind)
        return model, [values[id(old)] for old in graph.outputs]


def _hand_name_on(name: str, value: Value) -> None:
    """Give the rounding of an output its name, which names the loss on it; not to what computes it.

    `strip` gives it back.
    """
    computing = value.raw._keras_history.operation
    if value.tensor._keras_history.operation is not value.rounding:
        return  # it is a view of what was rounded
    if computing.name == name:
        computing.name = f"{RENAMED}{name}"
    value.rounding.name = name


def _is_float(tensor) -> bool:
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))


def _is_layer(call) -> bool:
    return isinstance(call.operation, keras.layers.Layer)


def _data(call) -> list[keras.KerasTensor]:
    return [t for t in call.input_tensors if _is_float(t)]


def _is_chain(call) -> bool:
    """Whether a merging layer computes step by step, as LiteRT has it for two tensors only."""
    merges = (keras.layers.Add, keras.layers.Multiply, keras.layers.Subtract)
    return isinstance(call.operation, merges) and len(call.input_tensors) != 2


def _round_constant(value):
    """An array among an operation's arguments as its 8-bit integers would give it back."""
    if isinstance(value, keras.KerasTensor) or not hasattr(value, "dtype"):
        return value
    if not _is_float(value) or len(value.shape) == 0:
        return value
    values = np.asarray(ops.convert_to_numpy(value), "float32")
    scale = np.abs(values).max() / 127 or 1.0
    return np.round(values / scale).astype("float32") * np.float32(scale)

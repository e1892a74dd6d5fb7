"""A layer that is several ops: its own computation, with each op rounded."""

from collections import defaultdict
from contextlib import ExitStack, contextmanager
from inspect import signature

import keras
from keras import ops, tree

from edgekit.core.batchnorm import full_precision
from edgekit.core.graph import build_by_call
from edgekit.core.kernels import own_kernels
from edgekit.core.selection import all_layers
from edgekit.core.tracing import own_variables, placeholder, trace_layer
from edgekit.quantization.call_sites import RunsGraph
from edgekit.quantization.kernel_quantizer import KernelQuantizer
from edgekit.quantization.layer_functions import function_of, has_function
from edgekit.quantization.masks import attach_masks, implied_masks, mask_of
from edgekit.quantization.quantize_wrapper import QuantizeWrapper


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedComposite(RunsGraph, QuantizeWrapper):
    """A layer followed operation by operation, as MultiHeadAttention or one of the user's own.

    Where its operations cannot be followed, since it does more than `keras.ops` can, the layer
    runs as it is, with its kernels and its output rounded.

    Args:
        layer: The layer.
        arguments: `(args, kwargs)` of its call, with the i-th tensor replaced by
            `{"tensor": i}`.
        dtypes: Of these tensors.
        scheme: How to quantise. Defaults to that of `"int8"`.
        sites: How often it is called in all. Defaults to `1`.
        learned: Whether scales of its kernels are learned. Defaults to `None`: as the scheme
            says.
        masks: For each of these tensors the shape of the mask that Keras hands on beside it, or
            None. Defaults to `None`: there is none.
    """

    def __init__(
        self, layer, arguments, dtypes, scheme=None, sites=1, learned=None, masks=None, **kwargs
    ):
        super().__init__(layer, scheme, sites, **kwargs)
        self.arguments = arguments
        self.dtypes = list(dtypes)
        self.masks = [shape and tuple(shape) for shape in masks or [None] * len(self.dtypes)]
        self.learned = learned
        self.quantized = self._found = None
        self.legacy = self.before_masks = False
        self._ends_mask = [False] * len(self.dtypes)

    def build(self, input_shape):
        shapes = [input_shape] if len(self.dtypes) == 1 else input_shape
        inputs = [
            keras.Input(batch_shape=tuple(shape), dtype=dtype)
            for shape, dtype in zip(shapes, self.dtypes, strict=True)
        ]
        masks = [keras.Input(batch_shape=s, dtype="bool") for s in self.masks if s]
        args, kwargs = self._call_arguments(inputs)
        build_by_call(self.layer, *args, **kwargs)
        # The two know each other: a layer inside may be a composite too.
        from edgekit.quantization.graph_quantizer import quantize_graph

        try:
            graph, weights, self._variables = self._trace([*inputs, *masks])
            rounded = [True] * len([*inputs, *masks]) + [False] * len(weights)
            found = quantize_graph(
                graph,
                self.scheme,
                rounded,
                weights,
                runs=self.sites,
                learned=self.learned,
                legacy=self.legacy,
                masks=not self.before_masks,
            )
        except Exception as error:  # it is the user's code: it may raise anything
            self._build_unfollowed(error)
            return
        for i, tensor in enumerate(graph.inputs[: len(self.masks)]):
            self._ends_mask[i] |= self.masks[i] is not None and mask_of(tensor) is None
        self._found, self.inner = found, found.layers
        self.left_float = found.left_float
        self.quantized = found.function
        self.feeds(self.quantized.inputs[: len(inputs)])
        self._facts = [(v.rounded is not None, v.fixed_range) for v in found.outputs]

    def call(self, inputs, training=None, site=0):
        with self.at_call(site):
            return super().call(inputs, training)

    def compute(self, inputs, training):
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        if self.quantized is None:
            return self._call_unfollowed(tensors, training)
        masks, given = self._masks_of(tensors), tensors
        tensors = [
            ops.cast(tensor, dtype) for tensor, dtype in zip(tensors, self.dtypes, strict=True)
        ]
        masked = [t for t, shape in zip(tensors, self.masks, strict=True) if shape]
        attach_masks(masked, masks)  # a cast has lost them
        outputs = self.quantized([*tensors, *masks, *map(full_precision, self._variables)])
        self._end_masks(given)
        return tree.map_structure(self._to_compute_dtype, outputs)

    def compute_output_spec(self, inputs, training=None, site=0):
        tensors = tree.flatten(inputs)
        if self.quantized is None:
            args, kwargs = self._call_arguments(tensors)
            return self.layer.compute_output_spec(*args, **kwargs)
        masks = [keras.KerasTensor(shape, "bool") for shape in self.masks if shape]
        outputs = self.quantized.compute_output_spec(
            [*tensors, *masks, *map(placeholder, self._variables)]
        )
        self._end_masks(tensors)
        return tree.map_structure(
            lambda t: keras.KerasTensor(t.shape, self._output_dtype(t.dtype)), outputs
        )

    def compute_mask(self, inputs, previous_mask=None):
        if not self.layer.supports_masking:
            return None
        args, kwargs = self._call_arguments(tree.flatten(inputs))
        of_args, of_kwargs = self._call_arguments(tree.flatten(previous_mask))
        given = kwargs.get("mask")
        first = [*of_args, *of_kwargs.values()][0] if given is None else given
        return self.layer.compute_mask([*args, *kwargs.values()][0], first)

    def output_facts(self, count):
        return self._facts if self.quantized is not None else super().output_facts(count)

    def apply_plain(self, layers, inputs, training=None):
        tensors = inputs if isinstance(inputs, (list, tuple)) else [inputs]
        args, kwargs = self._call_arguments(tensors)
        return layers[0](*args, **kwargs)

    def start_scales(self):
        if self._found is not None:
            self._found.start_scales([*map(full_precision, self._variables)])
            return
        for quantizer, kernel in zip(self.quantizers, self._kernels, strict=True):
            quantizer.start_from(kernel)

    @contextmanager
    def as_written(self):
        with super().as_written(), self._inside_as_written():
            yield

    def plain_layers(self):
        with self._inside_as_written():
            return super().plain_layers()

    def get_config(self):
        with self._inside_as_written():
            config = super().get_config()
        config = {**config, "arguments": self.arguments, "dtypes": self.dtypes}
        return {**config, "learned": self.learned, "masks": self.masks}

    @classmethod
    def from_config(cls, config, custom_objects=None):
        arguments = config.pop("arguments")
        config.setdefault("learned", False)  # saved before kernels in here had learned scales
        layer = super().from_config({**config, "arguments": None}, custom_objects)
        layer.arguments = arguments
        # Files of before have no state for what is rounded since.
        layer.legacy = "sites" not in config
        layer.before_masks = "masks" not in config
        return layer

    def _attach(self, tensors, masks) -> None:
        masks = iter(masks)
        attach_masks(tensors, [shape and next(masks) for shape in self.masks])

    def _end_masks(self, tensors) -> None:
        """As MultiHeadAttention does, take masks from tensors: what reads them later has none."""
        for tensor, ends in zip(tensors, self._ends_mask, strict=True):
            if ends:
                attach_masks([tensor], [None])

    def _masks_of(self, tensors) -> list:
        """The masks that come with the tensors where the layer was built for some."""
        found = []
        for tensor, shape in zip(tensors, self.masks, strict=True):
            if shape is not None:
                mask = mask_of(tensor)
                shown = ops.shape(tensor)[: len(shape)]
                found.append(ops.ones(shown, "bool") if mask is None else ops.cast(mask, "bool"))
        return found

    @contextmanager
    def _inside_as_written(self):
        """Within it the layers in the layer have back what wrappers in here took from them."""
        with ExitStack() as stack:
            for layer in () if self._found is None else self._found.layers:
                if isinstance(layer, QuantizeWrapper):
                    stack.enter_context(layer.as_written())
            yield

    def _call_arguments(self, tensors):
        return _filled(self.arguments, tensors)

    def _trace(self, inputs):
        if getattr(self.layer, "stateful", False):
            raise NotImplementedError("it keeps its states from call to call (stateful=True)")
        own = [v for v in own_variables(self.layer) if _holds_data(v)]
        keeps_state = any(not v.trainable for v in own) and self.layer.trainable
        if keeps_state and not has_function(self.layer):
            raise NotImplementedError("it keeps a state of its own")
        if self._asks_for_training():
            graphs = [self._trace_call(inputs, training)[0] for training in (True, False)]
            training, inference = ([type(c.operation) for c in g.calls] for g in graphs)
            if training != inference:
                raise NotImplementedError("it computes something else in training")
        return self._trace_call(inputs)

    def _trace_call(self, inputs, training=None):
        def compute(*tensors):
            tensors, given = tensors[: len(self.masks)], tensors[len(self.masks) :]
            self._attach(tensors, given)
            args, kwargs = self._call_arguments(tensors)
            kwargs = {**kwargs, **implied_masks(self.layer, args, kwargs)}
            if training is None:
                outputs = function_of(self.layer, not self.before_masks)(*args, **kwargs)
            else:
                outputs = self.layer.call(*args, **{**kwargs, "training": training})
            for i, tensor in enumerate(tensors):
                self._ends_mask[i] |= self.masks[i] is not None and mask_of(tensor) is None
            return outputs

        self._attach(inputs[: len(self.masks)], inputs[len(self.masks) :])
        return trace_layer(self.layer, compute, inputs, _holds_data)

    def _asks_for_training(self) -> bool:
        """Whether the user's own code may compute something else in training."""
        own = type(self.layer).__module__.startswith("keras.")
        return not own and "training" in signature(self.layer.call).parameters

    def _build_unfollowed(self, error):
        # Ours say what; others tell of symbolic tensors in the words of whatever met them first.
        reason = f"its code does what keras.ops cannot follow ({type(error).__name__})"
        if isinstance(error, NotImplementedError) and str(error):
            reason = str(error).split("\n")[0]
        self.left_float = [
            (
                type(self.layer).__name__,
                "its operations cannot be followed, only its kernels and its output are rounded: "
                f"{reason}",
            )
        ]
        layers = [self.layer, *all_layers(self.layer)]
        self._kernels = [kernel for layer in layers for kernel in own_kernels(layer)]
        self.quantizers = [
            KernelQuantizer.of(self.scheme, name=f"quantizer_{i}", learned=self.learned)
            for i in range(len(self._kernels))
        ]
        for quantizer, kernel in zip(self.quantizers, self._kernels, strict=True):
            quantizer.build(kernel.shape)

    def _call_unfollowed(self, tensors, training):
        args, kwargs = self._call_arguments(tensors)
        mapping = [
            (kernel, quantizer(full_precision(kernel)))
            for quantizer, kernel in zip(self.quantizers, self._kernels, strict=True)
        ]
        # A scope of its own hides the values that a scope around it gives the other variables.
        taken = {id(kernel) for kernel in self._kernels}
        others = [(v, v.value) for v in self.layer.variables if id(v) not in taken]
        with keras.StatelessScope(state_mapping=mapping + others, collect_losses=True) as scope:
            outputs = self.layer(*args, **kwargs)
        for loss in scope.losses:
            self.add_loss(loss)
        for variable, before in others:  # what the layer itself followed
            value = scope.get_current_value(variable)
            drawn = not _holds_data(variable) and not training  # a seed that inference ignores
            if value is not before and not drawn:
                variable.assign(value)
        return outputs

    def _output_dtype(self, dtype):
        dtype = keras.backend.standardize_dtype(dtype)
        return self.compute_dtype if keras.backend.is_float_dtype(dtype) else dtype

    def _to_compute_dtype(self, tensor):
        return ops.cast(tensor, self._output_dtype(tensor.dtype))


def call_arguments(call) -> tuple[list, list[str]]:
    """`(arguments, dtypes)` of a call, as `QuantizedComposite` takes them."""
    places = defaultdict(list)  # a tensor given twice has two places
    for i, tensor in enumerate(call.input_tensors):
        places[id(tensor)].append(i)

    def mark(value):
        tensor = isinstance(value, keras.KerasTensor)
        return {"tensor": places[id(value)].pop(0)} if tensor else value

    arguments = [
        [tree.map_structure(mark, a) for a in call.arguments.args],
        {name: tree.map_structure(mark, a) for name, a in call.arguments.kwargs.items()},
    ]
    dtypes = [keras.backend.standardize_dtype(t.dtype) for t in call.input_tensors]
    # What is rounded is computed in full precision, whatever the layer's policy.
    return arguments, ["float32" if keras.backend.is_float_dtype(d) else d for d in dtypes]


def _filled(marked, tensors):
    if isinstance(marked, dict):
        if set(marked) == {"tensor"}:
            return tensors[marked["tensor"]]
        return {key: _filled(value, tensors) for key, value in marked.items()}
    if isinstance(marked, (list, tuple)):
        return [_filled(value, tensors) for value in marked]
    return marked


def _holds_data(variable) -> bool:
    """Whether it is more than the state of a random seed."""
    return keras.backend.is_float_dtype(keras.backend.standardize_dtype(variable.dtype))

"""Reading a Functional or Sequential model as a list of calls, and building a new one from it.

This is the only file that touches Keras's private node API.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator
from typing import Any

import keras
from keras import tree

from edgekit.core.adapted import copy_adapted
from edgekit.core.same_class import same_class
from edgekit.core.selection import all_layers


class Graph:
    """The calls of a model in an order in which they can be executed.

    A call has `.operation` (a layer or Keras operation), `.input_tensors`, `.outputs` and
    `.arguments`.

    Attributes:
        original: The model as it was given.
        model: It, or for a Sequential the Functional model that it is.

    Args:
        model: A built Functional or Sequential model.

    Raises:
        ValueError: The model is neither, or a Sequential without an input shape.
    """

    def __init__(self, model: keras.Model | keras.Function):
        if not isinstance(model, (keras.Model, keras.Function)):
            raise ValueError(f"`model` must be a Keras 3 model. Received: {model!r}")
        if isinstance(model, keras.distillation.Distiller):
            raise ValueError(f"{model.name!r} is a Distiller: pass its `.student`")
        self.original = model
        if isinstance(model, keras.Sequential):
            if not model.built:
                raise ValueError(
                    f"Sequential model {model.name!r} has no input shape: start it with "
                    "keras.Input(shape), or call it on data first"
                )
            model = keras.Model(model.inputs[0], model.outputs[0], name=model.name)
        if not hasattr(model, "_nodes_by_depth"):
            raise ValueError(
                f"model {model.name!r} of type {type(model).__name__} is subclassed, so its layers "
                "cannot be followed: pass a Functional or Sequential model"
            )
        self.model = model
        self.inputs = tree.flatten(model._inputs_struct)
        self.outputs = tree.flatten(model._outputs_struct)
        self.calls = [
            node
            for depth in sorted(model._nodes_by_depth, reverse=True)
            for node in model._nodes_by_depth[depth]
            if not node.is_input
        ]
        self._consumers = defaultdict(list)
        for call in self.calls:
            for tensor in call.input_tensors:
                self._consumers[id(tensor)].append(call)
        for tensor in self.outputs:
            self._consumers[id(tensor)].append(None)

    def sole_consumer(self, tensor: keras.KerasTensor) -> Any | None:
        """The only call that reads `tensor`; None when several do, or the model returns it."""
        consumers = self._consumers[id(tensor)]
        return consumers[0] if len(consumers) == 1 else None

    def consumers(self, tensor: keras.KerasTensor) -> list[Any]:
        """The calls that read `tensor`; None stands for the model's output."""
        return self._consumers[id(tensor)]

    def rebuild(self, emit: Callable[[Any, dict[int, Any]], None], read=lambda value: value):
        """A new model whose tensors are made by `emit`.

        Args:
            emit: Called as `emit(call, values)` for each call in order; it stores in
                `values[id(tensor)]` what stands for each output tensor in the new model.
            read: Gives the tensor of a stored value, where values are more than tensors.

        Returns:
            A Functional model with the same input and output structure and names.
        """
        values: dict[int, Any] = {}
        inputs = {}
        for old in self.model.inputs:
            new = keras.Input(batch_shape=old.shape, dtype=old.dtype, name=source_name(old))
            inputs[id(old)] = new
            values[id(old)] = new
        for call in self.calls:
            emit(call, values)
        return self.model_like(inputs, {key: read(value) for key, value in values.items()})

    def model_like(
        self,
        inputs: dict[int, Any],
        tensors: dict[int, Any],
        plain: type[keras.Model] = keras.Model,
    ) -> keras.Model:
        """The model of a graph that was made after this one, of the same class where that can be.

        Args:
            inputs: `{id(input): input of the new graph}`.
            tensors: `{id(tensor): what stands for it in the new graph}`.
            plain: The class where this model's is Keras's own. Defaults to `keras.Model`; any
                other is used in place of the user's own too.
        """
        outputs = tree.map_structure(lambda old: tensors[id(old)], self.model.output)
        give_unique_names(tree.flatten(outputs))
        layers = {
            id(call.operation): tensors[id(tensor)]._keras_history.operation
            for call in self.calls
            for tensor in call.outputs[:1]
            if id(tensor) in tensors and isinstance(call.operation, keras.layers.Layer)
        }
        model = same_class(
            self.original,
            tree.map_structure(lambda old: inputs[id(old)], self.model.input),
            outputs,
            {key: new for key, new in layers.items() if isinstance(new, keras.layers.Layer)},
            plain,
        )
        # They name the losses, whatever computes the outputs now.
        if hasattr(model, "output_names") and hasattr(self.model, "output_names"):
            model.output_names = list(self.model.output_names)
        return model


def with_nested(graph: Graph) -> Iterator[Graph]:
    """The graph, and those of the models it calls, and of the models these call."""
    yield graph
    for call in graph.calls:
        if isinstance(call.operation, keras.Model):
            yield from with_nested(Graph(call.operation))


def operations_behind(outputs: list[keras.KerasTensor]) -> list[keras.Operation]:
    """What computes the tensors, input layers too, each once."""
    found: dict[int, keras.Operation] = {}
    seen: set[tuple[int, int]] = set()
    waiting = list(outputs)
    while waiting:
        operation, node, _ = getattr(waiting.pop(), "_keras_history", (None, 0, 0))
        if operation is not None and (id(operation), node) not in seen:
            seen.add((id(operation), node))
            found[id(operation)] = operation
            waiting += operation._inbound_nodes[node].input_tensors
    return list(found.values())


def give_unique_names(outputs: list[keras.KerasTensor]) -> None:
    """Rename operations behind the tensors that share a name, which Keras refuses in a graph.

    Layers keep theirs, which users know; a number goes to the others.
    """
    operations = operations_behind(outputs)
    taken: set[str] = set()
    for operation in sorted(operations, key=lambda op: not isinstance(op, keras.layers.Layer)):
        name, count = operation.name, 1
        while operation.name in taken:
            operation.name = f"{name}_{count}"
            count += 1
        taken.add(operation.name)


def source_name(tensor: keras.KerasTensor) -> str:
    """Name of the layer or operation that makes the tensor."""
    return tensor._keras_history.operation.name


def fill_in(call: Any, tensors: dict[int, Any]) -> tuple[tuple, dict]:
    """`args, kwargs` of the call with its tensors replaced by those of `tensors[id(old)]`."""
    return call.arguments.fill_in(tensors)


def build_by_call(layer: keras.layers.Layer, *args, **kwargs) -> None:
    """Build a layer, with its sublayers, by a call that no graph it is part of knows of.

    Saved graphs number the calls of a layer.

    Args:
        layer: The layer.
        *args: What it is called with, symbolic tensors among it.
        **kwargs: The same, by name.
    """
    before = len(layer._inbound_nodes)
    layer(*args, **kwargs)
    del layer._inbound_nodes[before:]


def follow_training(layer: keras.layers.Layer) -> None:
    """Let the layer's last symbolic call take the training flag of whoever runs the graph.

    Keras records the flag's default in the call. A Functional model overrides it, a
    keras.Function does not.
    """
    layer._inbound_nodes[-1].arguments.kwargs.pop("training", None)


class Cloner:
    """Clones layers, each once, and copies their weights when all are built.

    Example:
        >>> clone = Cloner()
        >>> new = clone(layer)          # same object for the same layer: sharing is kept
        >>> ...                         # call `new` on tensors, which builds it
        >>> clone.copy_weights()
    """

    def __init__(self):
        self._clones: dict[int, tuple[keras.layers.Layer, keras.layers.Layer]] = {}
        self._operations: dict[int, tuple[keras.Operation, keras.Operation]] = {}

    def __call__(self, operation: keras.Operation) -> keras.Operation:
        if not isinstance(operation, keras.layers.Layer):
            if id(operation) not in self._operations:
                self._operations[id(operation)] = operation, copy_operation(operation)
            return self._operations[id(operation)][1]
        if id(operation) not in self._clones:
            clone = copy_layer(operation)
            self._clones[id(operation)] = (operation, clone)
        return self._clones[id(operation)][1]

    def copy_weights(self) -> None:
        """Give each clone its original's weights and trainable flag."""
        for original, clone in self._clones.values():
            copy_state(original, clone)


def copy_operation(operation: keras.Operation) -> keras.Operation:
    """A new operation that computes the same; it has no weights and keeps no state."""
    new = object.__new__(type(operation))  # Keras's own way to copy serializes it
    new.__dict__.update(vars(operation))
    new._inbound_nodes, new._outbound_nodes = [], []
    return new


def copy_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    """A new layer with the same configuration; not built."""
    config = layer.get_config()
    if isinstance(layer, keras.layers.Lambda):
        # Its function need not be deserialised: here it is.
        function, shape, mask = layer.function, layer._output_shape, layer.mask
        config = {k: v for k, v in config.items() if k in ("name", "dtype", "trainable")}
        return keras.layers.Lambda(function, shape, mask, layer.arguments, **config)
    activation = getattr(layer, "activation", None)
    if "activation" in config and not _is_builtin(activation):
        new = type(layer).from_config({**config, "activation": "linear"})
        new.activation = activation
        return new
    return type(layer).from_config(config)


def copy_state(original: keras.layers.Layer, new: keras.layers.Layer) -> None:
    """Give a built copy its original's weights and trainable flags, sublayers' too."""
    new.set_weights(original.get_weights())
    copy_adapted(original, new)
    new.trainable = original.trainable
    for inner, copied in zip(all_layers(original), all_layers(new), strict=False):
        if inner.trainable != copied.trainable:
            copied.trainable = inner.trainable


def _is_builtin(activation) -> bool:
    name = getattr(activation, "__name__", "")
    return activation is None or getattr(keras.activations, name, None) is activation

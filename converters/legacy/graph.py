"""A legacy model's graph, built again with Keras 3 layers."""

import re

import keras
from keras import tree

from converters.errors import MigrationError, first_line
from converters.legacy.layers import carried_over, keras_name
from converters.legacy.operations import operation
from converters.legacy.requirement import is_tfmot_layer
from converters.legacy.structures import unwrapped

_FUNCTIONS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
# Computed on a model's tensors for training only.
_ONLY_TRAINING = ("AddLoss", "AddMetric")
# Of all problems, as a net may have hundreds of the same kind.
_TOLD = 8
_RECURRENT = ("RNN", "LSTM", "GRU", "SimpleRNN", "Bidirectional", "ConvLSTM2D")


class Rebuilding:
    """Builds models of tf_keras again in Keras 3; their weights are still to come.

    Args:
        custom_objects: `{name: Keras 3 class or function}`.

    Attributes:
        layers: `(old, new)` for each layer and nested model, each once.
    """

    def __init__(self, custom_objects: dict):
        self.layers: list[tuple] = []
        self._notes: list[str] = []
        self._renamed: list[tuple[str, str]] = []
        self._custom_objects = custom_objects
        self._found: dict[int, keras.layers.Layer] = {}

    @property
    def notes(self) -> list[str]:
        """What became different, in words."""
        if not self._renamed:
            return self._notes
        (old, new), *more = self._renamed
        count = f", and {len(more)} more so" if more else ""
        return [*self._notes, f"{old!r} is called {new!r}{count}: Keras 3 has no slashes"]

    def model(self, old) -> keras.Model:
        """The same model.

        Raises:
            MigrationError: Parts have no counterpart; the message names all of them.
        """
        if any(is_tfmot_layer(layer) for layer in old._flatten_layers()):
            raise MigrationError(
                f"model {old.name!r} has layers of TensorFlow Model Optimization: take the plain "
                "model out of them with ek.tfmot.strip(model), and carry that over"
            )
        problems = _grouped(self._problems(old))
        if problems:
            more = f"; and {len(problems) - _TOLD} more" if len(problems) > _TOLD else ""
            raise MigrationError(
                f"model {old.name!r} cannot be carried over to Keras 3: "
                f"{'; '.join(problems[:_TOLD])}{more}"
            )
        return self._model(old)

    def _problems(self, model) -> list[str]:
        kind = _kind(model)
        if kind == "subclassed":
            return [
                f"{type(model).__name__} {model.name!r} is a class of its own, whose structure "
                "is code: write that class for Keras 3 and give it these weights"
            ]
        if not model.built or not model.inputs:
            return [f"{model.name!r} has no known input shape: build it first"]
        problems = []
        for layer in model.layers:
            if _is_model(layer):
                problems += self._problems(layer)
                continue
            try:
                if type(layer).__name__ in _FUNCTIONS:
                    operation(layer)
                elif type(layer).__name__ not in ("InputLayer", *_ONLY_TRAINING):
                    self._layer(layer)
            except MigrationError as error:
                problems.append(str(error))
        return problems

    def _model(self, old) -> keras.Model:
        if id(old) in self._found:
            return self._found[id(old)]
        new = self._sequential(old) if _kind(old) == "sequential" else self._functional(old)
        if not old.trainable:
            _freeze(new)
        if not _is_keras(type(old)):
            self._notes.append(
                f"the class {type(old).__name__} of {old.name!r} stays behind, and its methods"
            )
        self._found[id(old)] = new
        self.layers.append((old, new))
        return new

    def _layer(self, old):
        if id(old) not in self._found:
            new = carried_over(old, self._custom_objects, inner=self._inner)
            self._found[id(old)] = new
            self.layers.append((old, new))
            if new.name != old.name:
                self._renamed.append((old.name, new.name))
        return self._found[id(old)]

    def _inner(self, old):
        """The counterpart of a layer in a wrapper, which may be a model."""
        if not _is_model(old):
            return self._layer(old)
        problems = self._problems(old)
        if problems:
            raise MigrationError("; ".join(problems))
        return self._model(old)

    def _sequential(self, old) -> keras.Sequential:
        (tensor,) = old.inputs
        batch, *shape = tensor.shape
        if not old._has_explicit_input_shape:  # that of the samples it was first called on
            batch = None
        start = keras.Input(
            batch_shape=(batch, *shape),
            dtype=tensor.dtype.name,
            name=keras_name(tensor._keras_history.layer.name),
        )
        rest = [layer for layer in old.layers if type(layer).__name__ != "InputLayer"]
        parts = [self._model(part) if _is_model(part) else self._layer(part) for part in rest]
        new = keras.Sequential([start, *parts], name=keras_name(old.name))
        unknown = next((number for number, part in enumerate(parts) if not part.built), None)
        if unknown is not None:  # Keras leaves all from there on for later, without a word
            before = parts[max(unknown - 1, 0)]
            raise MigrationError(
                f"{type(before).__name__} {before.name!r}: Keras 3 cannot tell the shape of its "
                "output: give its class, or that of the layer inside, a compute_output_shape"
            )
        return new

    def _functional(self, old) -> keras.Model:
        tensors: dict[int, object] = {}
        for depth in sorted(old._nodes_by_depth, reverse=True):
            for node in old._nodes_by_depth[depth]:
                if type(node.layer).__name__ in _ONLY_TRAINING:
                    self._notes.append(f"the loss or metric {node.layer.name!r} stays behind")
                    continue
                try:
                    outputs = self._called(node, tensors)
                except MigrationError:
                    raise
                except Exception as error:  # of any kind, as layers please
                    raise MigrationError(
                        f"{type(node.layer).__name__} {node.layer.name!r} fails in Keras 3: "
                        f"{first_line(error)}"
                    ) from None
                for key, tensor in zip(_flat(node.outputs), _parts(outputs), strict=True):
                    tensors[id(key)] = tensor

        def mapped(structure):
            return tree.map_structure(lambda tensor: tensors[id(tensor)], unwrapped(structure))

        return keras.Model(
            mapped(old._nested_inputs), mapped(old._nested_outputs), name=keras_name(old.name)
        )

    def _called(self, node, tensors: dict):
        """What a call gives in Keras 3."""
        layer = node.layer
        if node.is_input:
            for kind in ("sparse", "ragged"):
                if getattr(layer, kind, False):
                    raise MigrationError(f"input {layer.name!r} has {kind}=True")
            shape, dtype = tuple(node.outputs.shape), node.outputs.dtype.name
            return keras.Input(batch_shape=shape, dtype=dtype, name=keras_name(layer.name))

        def mapped(value):
            return tensors.get(id(value), value)

        args = unwrapped(node.call_args, mapped)
        kwargs = unwrapped(node.call_kwargs, mapped)
        if type(layer).__name__ in _FUNCTIONS:
            outputs = operation(layer)(*args, **kwargs)
            _name_operations(outputs, keras_name(layer.name))
            return outputs
        new = self._model(layer) if _is_model(layer) else self._layer(layer)
        if kwargs.get("training") is True:
            raise MigrationError(
                f"{new.name!r} was called with training=True, which Keras 3 forgets in predict"
            )
        if kwargs.get("training") is False and layer.trainable:
            self._notes.append(
                f"{new.name!r} was called with training=False, which Keras 3 forgets in fit: set "
                "its `trainable = False` before you train"
            )
        if type(layer).__name__ in _RECURRENT and isinstance(args[0], (list, tuple)):
            # Keras 2 put the initial state beside the sequence.
            (sequence, *state), *rest = args
            given = {name: value for name, value in kwargs.items() if value is not None}
            # Beside a state, Keras 3 does not hand the sequence's own mask on.
            mask = {"mask": getattr(sequence, "_keras_mask", None)}
            return new(sequence, *rest, **mask | given | {"initial_state": state})
        return new(*args, **kwargs)


def _grouped(problems: list[str]) -> list[str]:
    """Each problem once, and how many other layers have the same."""
    groups: dict[str, list[str]] = {}
    for problem in dict.fromkeys(problems):
        groups.setdefault(re.sub(r"'[^']*'", "", problem, count=1), []).append(problem)
    return [
        f"{first} (so are {len(others)} others)" if others else first
        for first, *others in groups.values()
    ]


def _kind(model) -> str:
    """Whether it is "sequential", "functional" or "subclassed"."""
    calling = next(cls for cls in type(model).__mro__ if "call" in vars(cls))
    if not _is_keras(calling) or calling.__name__ not in ("Sequential", "Functional"):
        return "subclassed"
    return calling.__name__.lower()


def _is_keras(cls: type) -> bool:
    return cls.__module__.split(".")[0] == "tf_keras"


def _freeze(model: keras.Model) -> None:
    """Set the model's own flag: Keras would set those of its layers too."""
    flags = [(layer, layer.trainable) for layer in model._flatten_layers(include_self=False)]
    model.trainable = False
    for layer, trainable in flags:
        layer.trainable = trainable


def _is_model(layer) -> bool:
    return any(
        cls.__name__ == "Model" and cls.__module__.startswith("tf_keras")
        for cls in type(layer).__mro__
    )


def _flat(value) -> list:
    return tree.flatten(unwrapped(value))


def _parts(outputs) -> list:
    """Outputs of a call, one each: a shape stays one thing."""
    if isinstance(outputs, tuple) and all(isinstance(item, int) for item in outputs):
        return [outputs]
    return tree.flatten(outputs)


def _name_operations(outputs, name: str) -> None:
    """Call new operations after the layer they come from: names are unique in a model."""
    count = 0
    waiting = [t for t in tree.flatten(outputs) if isinstance(t, keras.KerasTensor)]
    while waiting:
        made_by = waiting.pop()._keras_history.operation
        if isinstance(made_by, keras.layers.Layer) or getattr(made_by, "_edgekit_named", False):
            continue
        made_by.name = name if count == 0 else f"{name}_part_{count}"
        made_by._edgekit_named = True
        count += 1
        waiting += made_by._inbound_nodes[0].input_tensors

"""A rebuilt model of its original's class, with the original's own attributes."""

import inspect
import warnings
from collections.abc import Mapping
from typing import Any

import keras
from keras import tree

from edgekit.core.adapted import copy_adapted

# What Keras itself has put there, and what compiling and fitting leave on a model.
_NOT_OWN = {
    "_functional",
    "_compile_config",
    "_compiled_trainable_state",
    "history",
    "optimizer",
    "stop_evaluating",
    "stop_predicting",
    "stop_training",
}


def same_class(
    original: keras.Model,
    inputs: Any,
    outputs: Any,
    layers: Mapping[int, keras.layers.Layer],
    plain: type[keras.Model] = keras.Model,
) -> keras.Model:
    """The model from `inputs` to `outputs`, of the class of the one it was made from.

    As `keras.models.clone_model` does, it keeps a class whose constructor takes what that of
    `keras.Model` takes, so that its own `train_step` or `compute_loss` goes on working. It also
    gives the new model what the original's code has put into attributes. Where a class with
    methods of its own cannot be kept, a warning says what is lost.

    Args:
        original: A Functional or Sequential model.
        inputs: Structure of symbolic tensors.
        outputs: Structure of symbolic tensors.
        layers: `{id(layer of the original): layer of the new model}`. Of a layer in an attribute
            that is not among them, a copy with the same weights is made.
        plain: The class where the original's is Keras's own. Defaults to `keras.Model`; any
            other is used in place of the user's own too.
    """
    if is_plain(type(original)):
        return plain(inputs, outputs, name=original.name)
    made = _of_own_class(original, inputs, outputs) if plain is keras.Model else None
    if made is None:
        _warn_of_loss(original)
        return plain(inputs, outputs, name=original.name)
    usual = keras.Model(inputs, outputs)
    for name, value in vars(original).items():
        if name not in vars(usual) and name not in _NOT_OWN:
            _set(made, name, value, layers)
    return made


def _of_own_class(original, inputs, outputs) -> keras.Model | None:
    """The model; None where its class cannot be made with these tensors."""
    cls = type(original)
    if isinstance(original, keras.Sequential):
        chain = _chain(outputs) if _takes(cls, ["layers", "trainable", "name"]) else None
        return cls(chain, name=original.name) if chain else None
    if not _takes(cls, ["inputs", "outputs", "name"]):
        return None
    return cls(inputs, outputs, name=original.name)


def is_plain(cls: type) -> bool:
    """Whether a model's class is Keras's own, or says that it stands for it by `for_plain`."""
    return cls.__module__.startswith("keras.") or getattr(cls, "for_plain", False)


def _takes(cls: type, names: list[str]) -> bool:
    """Whether the constructor takes these arguments, or hands all it gets on."""
    spec = inspect.getfullargspec(cls.__init__)
    return spec.args[1:] == names or (spec.varargs is not None and spec.varkw is not None)


def _chain(outputs) -> list[keras.layers.Layer] | None:
    """The input and the layers up to the output, where they are a chain of different ones."""
    tensors = tree.flatten(outputs)
    layers: list[keras.layers.Layer] = []
    while len(tensors) == 1:
        operation, node, _ = tensors[0]._keras_history
        if operation in layers or not isinstance(operation, keras.layers.Layer):
            return None
        layers.insert(0, operation)
        if isinstance(operation, keras.layers.InputLayer):
            return layers
        tensors = operation._inbound_nodes[node].input_tensors
    return None


def _set(made, name, value, layers) -> None:
    made_by_constructor = getattr(made, name, None)
    alike = type(made_by_constructor) is type(value)
    if alike and isinstance(value, keras.layers.Layer) and id(value) not in layers:
        _copy_state(value, made_by_constructor)
    elif alike and isinstance(value, keras.Variable):
        made_by_constructor.assign(value)
    elif not (alike and isinstance(value, (keras.metrics.Metric, keras.random.SeedGenerator))):
        setattr(made, name, tree.map_structure(lambda part: _own(part, layers), value))


def _own(value, layers):
    """What stands for an attribute's value in the new model, which shares no state with it."""
    if isinstance(value, keras.layers.Layer):
        return layers.get(id(value)) or _copy(value)
    if isinstance(value, keras.metrics.Metric):
        return type(value).from_config(value.get_config())
    if isinstance(value, keras.Variable):
        return keras.Variable(
            value.numpy(), dtype=value.dtype, trainable=value.trainable, name=value.name
        )
    if isinstance(value, keras.random.SeedGenerator):
        return keras.random.SeedGenerator.from_config(value.get_config())
    return value


def _copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    copy = type(layer).from_config(layer.get_config())
    _copy_state(layer, copy)
    return copy


def _copy_state(layer: keras.layers.Layer, copy: keras.layers.Layer) -> None:
    if layer.built and not copy.built and layer.get_build_config():
        copy.build_from_config(layer.get_build_config())
    if layer.built and copy.built:
        copy.set_weights(layer.get_weights())
        copy_adapted(layer, copy)
    copy.trainable = layer.trainable


def _warn_of_loss(original: keras.Model) -> None:
    lost = sorted(
        {
            name
            for cls in type(original).__mro__
            if not is_plain(cls) and issubclass(cls, keras.Model)
            for name, value in vars(cls).items()
            if callable(value) and not name.startswith("__")
        }
        - {"get_config", "from_config"}
    )
    if lost:
        what = "a list of layers" if isinstance(original, keras.Sequential) else "inputs, outputs"
        warnings.warn(
            f"{original.name!r} becomes a plain keras.Model, without {', '.join(lost)} of its "
            f"class {type(original).__name__}: the class cannot be made from ({what}). Give it a "
            "constructor `def __init__(self, *args, **kwargs)` that hands all of them to "
            "`super().__init__`, or write the new model's training step anew",
            stacklevel=6,
        )

"""A layer of legacy tf_keras as the same layer of Keras 3, its weights still to come."""

import contextlib
import inspect

import keras

from converters.errors import MigrationError, first_line
from converters.legacy.activations import hard_sigmoid
from converters.legacy.application_layers import application_layers
from converters.legacy.structures import unwrapped
from converters.legacy.training_only import role_of

# Their other differences from the class of that name are arguments of it.
_CLASSES = {
    "BatchNormalizationV1": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "LSTMV1": "LSTM",
    "GRUV1": "GRU",
    "LSTMCellV1": "LSTMCell",
    "GRUCellV1": "GRUCell",
    "ThresholdedReLU": "ReLU",
}
# What they learn is a table, which goes along with their configuration.
LOOKUPS = ("StringLookup", "IntegerLookup", "TextVectorization")
_ARGUMENTS = {"LeakyReLU": {"alpha": "negative_slope"}, "ThresholdedReLU": {"theta": "threshold"}}
# How it is computed, what it was once called on, or what only training asks.
_WITHOUT_EFFECT = {
    "batch_input_shape",
    "experimental_autocast",
    "fused",
    "implementation",
    "input_length",
    "input_shape",
    "key_shape",
    "query_shape",
    "ragged",
    "rng_type",
    "trainable",
    "value_shape",
}
# Attributes that are layers themselves, or lists of them.
_INNER = ("layer", "backward_layer", "cell", "cells")


def carried_over(layer, custom_objects: dict, inner=None) -> keras.layers.Layer:
    """A Keras 3 layer that computes what `layer` does.

    Args:
        layer: Of tf_keras.
        custom_objects: `{name: Keras 3 class or function}` for what Keras does not know.
        inner: Gives the Keras 3 layer for one inside a wrapper. Defaults to this function.

    Raises:
        MigrationError: It has no counterpart; the message says what of it.
    """
    inner = inner or (lambda part: carried_over(part, custom_objects))
    name = type(layer).__name__
    if name == "Lambda":
        return _lambda(layer)
    module = type(layer).__module__
    # A SavedModel's layers of the user's own are made of its graph.
    known = module.split(".")[0] == "tf_keras" and ".saved_model." not in module
    if getattr(layer, "dynamic", False):
        raise MigrationError(f"{_title(layer)} was made with dynamic=True")
    cls = _counterpart(layer, custom_objects, known)
    config = dict(layer.get_config())
    config["name"] = keras_name(layer.name)
    if known:
        config = _translated(layer, cls, config, custom_objects)
    for key in _INNER:
        if config.get(key) is not None and known:
            part = getattr(layer, key)
            config[key] = [inner(p) for p in part] if key == "cells" else inner(part)
    try:
        found = cls(**config) if known else cls.from_config(config)
    except Exception as error:  # of any kind, as layers please
        raise MigrationError(f"{_title(layer)}: {first_line(error)}") from None
    if found.trainable != layer.trainable:  # setting it sets those of inner layers too
        found.trainable = layer.trainable
    return found


def keras_name(name: str) -> str:
    """`name` as Keras 3 allows it: without slashes."""
    return name.replace("/", "_")


def _title(layer) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _counterpart(layer, custom_objects: dict, known: bool) -> type:
    name = type(layer).__name__
    if known:
        found = getattr(keras.layers, _CLASSES.get(name, name), None) or _of_applications(layer)
        why = "Keras 3 has no such layer"
    else:
        found = custom_objects.get(name) or keras.saving.get_registered_object(name)
        found = found[1] if isinstance(found, tuple) else found
        why = (
            "it is a layer of your own: write it for Keras 3 too and pass "
            f"custom_objects={{{name!r}: (old class, new class)}}"
        )
    if found is None or not (inspect.isclass(found) and issubclass(found, keras.layers.Layer)):
        raise MigrationError(f"{_title(layer)}: {why}")
    return found


def _with_vocabulary(layer, config: dict) -> dict:
    """What a lookup has learned is a table, not a weight."""
    try:
        words = layer.get_vocabulary(include_special_tokens=False)
    except Exception:  # TensorFlow's, of an empty table
        words = []
    if not len(words):
        raise MigrationError(f"{_title(layer)} has no vocabulary: adapt it, and save it with one")
    if config.get("output_mode") == "tf_idf":
        raise MigrationError(f"{_title(layer)}: its tf_idf weights stay behind")
    without = ("vocabulary_size", "has_input_vocabulary")
    return {k: v for k, v in config.items() if k not in without} | {"vocabulary": list(words)}


def _of_applications(layer) -> type | None:
    """A layer that is written beside an application, as ConvNeXt's are."""
    if ".applications." not in type(layer).__module__:
        return None
    return application_layers("keras").get(type(layer).__name__)


def _translated(layer, cls: type, config: dict, custom_objects: dict) -> dict:
    """The configuration in the words of Keras 3; refuses what it has no word for."""
    renamed = _ARGUMENTS.get(type(layer).__name__, {})
    config = {renamed.get(key, key): value for key, value in config.items()}
    config["dtype"] = _dtype(config.get("dtype"))
    accepted, defaults = constructor_defaults(cls), constructor_defaults(type(layer))
    if type(layer).__name__ in LOOKUPS:
        config = _with_vocabulary(layer, config)
    if cls is keras.layers.BatchNormalization:
        config["axis"] = _one_axis(layer)
        config["synchronized"] = type(layer).__name__ == "SyncBatchNormalization"
    found = {}
    for key, value in config.items():
        if key in accepted:
            try:
                found[key] = _value(key, unwrapped(value), custom_objects)
            except ValueError as error:
                raise MigrationError(f"{_title(layer)}: {first_line(error)}") from None
        elif not (_says_nothing(key, value) or value == defaults.get(key, _Missing)):
            raise MigrationError(f"{_title(layer)} has {key}={value!r}, which Keras 3 has not")
    return found


def _says_nothing(key: str, value) -> bool:
    return value is None or key in _WITHOUT_EFFECT or key.endswith("_initializer")


def _one_axis(layer) -> int:
    axes = [layer.axis] if isinstance(layer.axis, int) else list(layer.axis)
    if len(axes) > 1:
        raise MigrationError(f"{_title(layer)} has axis={axes}, Keras 3 normalises along one")
    return axes[0]


class _Missing:
    """No default."""


def constructor_defaults(cls: type) -> dict:
    """`{argument: default}` of the constructor, and of those it hands others on to."""
    found = {}
    for base in inspect.getmro(cls):
        if base.__module__.split(".")[0] not in ("keras", "tf_keras"):
            break
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        for parameter in parameters:
            found.setdefault(parameter.name, parameter.default)
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return found


def _dtype(policy) -> str:
    """The name of a policy, however it was written down."""
    if isinstance(policy, dict):
        return policy["config"]["name"]
    return policy or "float32"


def _value(key: str, value, custom_objects: dict):
    """An argument's value: initializers, regularizers, constraints and functions by name."""
    if key.endswith("activation"):
        return _activation(value, custom_objects)
    if not (isinstance(value, dict) and "class_name" in value):
        return value
    if key in _INNER:
        return value  # made from the layer itself
    if key.endswith("_initializer"):
        return _initializer(value, custom_objects)
    module = (value.get("module") or "").replace("tf_keras", "keras")
    config = value | {"module": module} if module else value
    own = module.split(".")[0] != "keras" and value["class_name"] not in custom_objects
    if role_of(key) and own:
        return None  # training alone asks for it: `left_behind` tells
    new = {name: v[1] if isinstance(v, tuple) else v for name, v in custom_objects.items()}
    return keras.saving.deserialize_keras_object(config, custom_objects=new)


def _initializer(value: dict, custom_objects: dict):
    """An initializer by its name, or none: the weights are there already."""
    with contextlib.suppress(Exception), keras.saving.custom_object_scope(custom_objects):
        config = {"class_name": value["class_name"], "config": value["config"]}
        return keras.initializers.get(config)
    return "zeros"


def _activation(value, custom_objects: dict):
    """An activation by its name: Keras 3 changed the slope of one."""
    name = value.get("config") if isinstance(value, dict) else value
    if name == "hard_sigmoid":
        return hard_sigmoid
    if not isinstance(name, str):
        return value
    if name in custom_objects:
        return custom_objects[name]
    # What was loaded says the name of the function, whatever name the file had for it.
    named = (f for f in custom_objects.values() if getattr(f, "__name__", None) == name)
    if (found := next(named, None)) is not None:
        return found
    try:
        return keras.activations.get(name)
    except ValueError:
        raise ValueError(
            f"the activation {name!r} is not Keras's: pass custom_objects={{{name!r}: function}}"
        ) from None


def _lambda(layer) -> keras.layers.Layer:
    """The same function; its file was allowed to hold it."""
    arguments = {"arguments": layer.arguments} if layer.arguments else {}
    if layer._output_shape is not None:
        arguments["output_shape"] = layer._output_shape
    if layer.mask is not None:
        arguments["mask"] = layer.mask
    dtype = _dtype(layer.get_config().get("dtype"))
    return keras.layers.Lambda(
        layer.function, name=keras_name(layer.name), dtype=dtype, **arguments
    )

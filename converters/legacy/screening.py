"""Code inside a model's file: refused, unless the caller allows it by name.

Loading follows a file's configuration wherever it points: to a module to import, a function to
call, bytecode. So whatever is not a class of Keras's own, or known to the caller, is refused before
anything is made from it.
"""

import inspect
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import keras

from converters.legacy.application_layers import is_application_layer
from converters.legacy.headers import Header
from converters.legacy.operations import NODES, OPERATIONS, known_symbol
from converters.legacy.training_only import named_in, stand_in, without

_FUNCTIONS = (keras.activations, keras.losses, keras.metrics)
# Where Keras's classes are; Functional has no public name.
_NAMESPACES = (
    "layers",
    "layers.experimental",
    "layers.experimental.preprocessing",
    "initializers",
    "regularizers",
    "constraints",
    "optimizers",
    "optimizers.schedules",
    "losses",
    "metrics",
    "mixed_precision",
    "quantizers",
)
_MODELS = ("Functional", "Model", "Sequential", "DTypePolicy", "Policy")
# Values, not objects.
_VALUES = ("__tensor__", "__numpy__", "__bytes__", "__ellipsis__", "__slice__", "__tuple__")
_MORE_VALUES = ("__keras_tensor__", "CONSTANT", "COMPOSITE", "TensorShape", "TypeSpec")
# Layers of tf_keras that call what their configuration names.
_CALLS = ("TFOpLambda", "SlicingOpLambda", "TensorFlowOpLayer")
# Names of TensorFlow Model Optimization's layers begin so.
_WRAPPERS = ("PruneLowMagnitude", "ClusterWeights", "QuantizeWrapper", "QuantizeAnnotate")
# Of tf_keras, without a public name.
_PRIVATE = ("AddLoss", "AddMetric", "ConvLSTMCell")
# Kinds of code that are no classes of layers.
_NO_CLASS = ("__lambda__", "function")
_OTHER_CALLS = ("ClassMethod", "InstanceMethod", "InstanceProperty")
_INITIALIZERS = "tensorflow.python.ops.init_ops_v2"


def refuse_code(header: Header, custom_objects: Mapping, allow: Iterable[str]) -> None:
    """Go through a file's configurations before anything is made from them.

    Classes of one's own that only training asks for are not made: see `stand_ins`.

    Args:
        header: Of the file.
        custom_objects: What the caller knows by name.
        allow: Names of layers, or of their classes, whose code may run.

    Raises:
        ValueError: A layer holds Python code, or names a class, module or function that is not
            Keras's; the message names the layers. Or `allow` names another layer.
    """
    if isinstance(allow, str) or not isinstance(allow, Iterable):
        raise ValueError(f"`allow` must be a collection of layer names. Received: {allow!r}")
    allow = set(allow)
    configs = header.configs
    if header.legacy:
        configs = without(configs, lambda config: _has_a_class(config, custom_objects))
    found = [reason for config in configs for reason in _code(config, custom_objects)]
    _refuse_wrappers(header)
    unknown = [each for each in found if each.kind in _CALLS]
    if unknown:
        raise ValueError(
            f"{header.path}: {_listed(unknown)[0]}. It cannot be carried over to Keras 3; "
            "ek.convert takes the tf_keras model itself, in memory"
        )
    known = {name for each in found for name in (each.owner, each.kind)}
    if allow - known:
        raise ValueError(
            f"`allow` names {', '.join(sorted(map(str, allow - known)))}: no such layer of "
            f"{header.path} holds code{f'; these do: {_listed(found)[1]}' if found else ''}"
        )
    refused = [each for each in found if not allow & {each.owner, each.kind}]
    if refused:
        told, _ = _listed(refused)
        _, names = _listed(found)
        raise ValueError(
            f"{header.path}: {told}. Loading would run it: give ek.load_model what "
            f"is missing as custom_objects, or allow={names} (edgekit migrate: "
            "--allow) if you trust who made the file"
        )


@dataclass(frozen=True)
class _Code:
    """Code in a configuration.

    Attributes:
        owner: The layer that holds it.
        what: What it holds, in words.
        kind: Its class.
    """

    owner: str
    what: str
    kind: str


def _listed(found: list[_Code]) -> tuple[str, list[str]]:
    """`(what is held, each kind of it once; the fewest names that allow all of it)`."""
    groups: dict[tuple[str, str], list[str]] = {}
    for each in found:
        groups.setdefault((each.kind, each.what), []).append(each.owner)
    told, names = [], set()
    for (kind, what), owners in groups.items():
        first, *others = dict.fromkeys(owners)  # a SavedModel lists a layer several times
        more = f" (one of {1 + len(others)}, the first)" if others else ""
        told.append(f"{first!r} {what}{more}")
        names.update([kind] if others and kind not in _NO_CLASS else owners)
    return "; ".join(told), sorted(names)


def _refuse_wrappers(header: Header) -> None:
    """Of TensorFlow Model Optimization: there is a way out of them."""
    text = json.dumps(header.configs)
    found = [name for name in _WRAPPERS if f'"class_name": "{name}' in text]
    if found:
        raise ValueError(
            f"{header.path} was saved inside TensorFlow Model Optimization's wrappers "
            f"({', '.join(found)}): load it with tf_keras as its guides say, and take the plain "
            "model out with ek.tfmot.strip(model)"
        )


def _code(config, custom_objects: Mapping, owner: str = "model") -> Iterator[_Code]:
    """All that is code."""
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from _code(item, custom_objects, owner)
    if not isinstance(config, dict):
        return
    kind, inside = config.get("class_name"), config.get("config")
    if kind is not None and isinstance(inside, dict) and isinstance(inside.get("name"), str):
        owner = inside["name"]
    if kind is not None:
        reason = _reason(config, custom_objects)
        if reason:
            yield _Code(owner, reason, str(kind))
            return
    for item in config.values():
        yield from _code(item, custom_objects, owner)


def _reason(config: dict, custom_objects: Mapping) -> str | None:
    """Why an object of that configuration is not made; None where it is harmless itself."""
    kind, inside = config["class_name"], config.get("config")
    if kind == "__lambda__":
        return "holds Python code (a lambda)"
    if not isinstance(kind, str) or "." in kind:
        return f"names the class {kind!r}"
    if kind in _VALUES or kind in _MORE_VALUES:
        return None
    if kind == "function":
        return None if _is_function(inside, custom_objects) else f"calls the function {inside!r}"
    if kind == "Lambda":
        return _lambda_reason(inside, custom_objects)
    if kind in _CALLS:
        return _call_reason(kind, inside)
    if kind in _OTHER_CALLS:
        return f"calls what it names, as a {kind}"
    if _is_class(config, custom_objects) or is_application_layer(config):
        return None
    module = f" of the module {config['module']!r}" if config.get("module") else ""
    return f"is or uses {kind}{module}, which is not Keras's"


def _lambda_reason(inside, custom_objects: Mapping) -> str | None:
    """Functions of a Lambda layer: names that the caller knows, or code."""
    if not isinstance(inside, dict):
        return "is a Lambda without a configuration"
    for part in ("function", "output_shape", "mask"):
        value = inside.get(part)
        if value is None or (part == "output_shape" and _is_shape(value)):
            continue
        if isinstance(value, dict) and value.get("class_name") == "function":
            value = value.get("config")
        if isinstance(value, dict) or not isinstance(value, str):
            return "holds Python code (a lambda)"
        if inside.get(f"{part}_type", "function") != "function":
            return "holds Python code (a lambda)"
        if value not in custom_objects and not _registered(value):
            return f"calls the function {value!r}"
    return None


def stand_ins(header: Header, custom_objects: Mapping) -> dict[str, type]:
    """`{name: class}` of what a file of Keras 2 names and only training asks for.

    Args:
        header: Of the file, gone through by `refuse_code`.
        custom_objects: What the caller knows by name.
    """
    if not header.legacy:
        return {}
    named = named_in(header.configs, lambda config: _has_a_class(config, custom_objects))
    return {name: stand_in(role, name) for role, name in named}


def _has_a_class(config: dict, custom_objects: Mapping) -> bool:
    """Whether a class of that name is there; one of Keras's must not be covered."""
    name = config["class_name"].split(">")[-1]
    return _is_class(config, custom_objects) or _in_keras(name)


def _is_shape(value) -> bool:
    return isinstance(value, (list, tuple)) and all(
        size is None or isinstance(size, int) for size in value
    )


def _call_reason(kind: str, inside) -> str | None:
    """TensorFlow can write files; what has no counterpart in Keras 3 is not called at all."""
    inside = inside if isinstance(inside, dict) else {}
    if kind == "TensorFlowOpLayer":
        node = inside.get("node_def")
        op = node.get("op") if isinstance(node, dict) else None
        return None if op in NODES else f"runs the TensorFlow op {op!r}"
    symbol = str(inside.get("function"))
    if kind == "SlicingOpLambda" or known_symbol(symbol) in OPERATIONS:
        return None
    return f"calls tf.{symbol}, which has no counterpart here"


def _is_function(name, custom_objects: Mapping) -> bool:
    if not isinstance(name, str):
        return False
    known = any(callable(getattr(module, name, None)) for module in _FUNCTIONS)
    return known or name in custom_objects or _registered(name)


def _is_class(config: dict, custom_objects: Mapping) -> bool:
    """Whether what will be made is of a class of Keras's own, or of the caller's."""
    kind, module = config["class_name"], config.get("module")
    registered = config.get("registered_name")
    name = str(registered or kind)
    # Without that name, Keras imports the module before it looks at what it was given.
    if (registered or module is None) and (name in custom_objects or _registered(name)):
        return True
    if module is None or module in ("keras", "keras.layers", "tf_keras", "keras.src"):
        return kind in _MODELS or _in_keras(kind)
    if not isinstance(module, str):
        return False
    if module == _INITIALIZERS:
        return _in_keras(kind)
    if module.split(".")[0] not in ("keras", "tf_keras"):
        return False
    if module.startswith("keras.src.ops."):
        found = getattr(sys.modules.get(module), kind, None)
        return inspect.isclass(found) and issubclass(found, keras.Operation)
    return kind in _MODELS or _in_keras(kind)


def _in_keras(kind: str) -> bool:
    if kind in _PRIVATE:
        return True
    for name in ("keras", "tf_keras"):
        for namespace in _NAMESPACES:
            place = sys.modules.get(name)
            for part in namespace.split("."):
                place = getattr(place, part, None)
            if inspect.isclass(getattr(place, kind, None)):
                return True
    return False


def _registered(name: str) -> bool:
    """Whether code of the caller has announced it, to Keras 3 or to tf_keras, by that very name."""
    known = [keras.saving.get_custom_objects()]
    if "tf_keras" in sys.modules:
        known.append(sys.modules["tf_keras"].saving.get_custom_objects())
    return any(name in objects for objects in known)

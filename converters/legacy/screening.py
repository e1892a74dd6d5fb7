"""Code inside a model's file: refused, unless the caller allows it by name."""

from collections.abc import Iterable, Iterator, Mapping

import keras

from converters.legacy.headers import Header

_MODULES = ("keras", "tf_keras", "tensorflow", "edgekit", "converters")
_FUNCTIONS = (keras.activations, keras.losses, keras.metrics)


def refuse_code(header: Header, custom_objects: Mapping, allow: Iterable[str]) -> None:
    """Go through a file's configurations before anything is made from them.

    Args:
        header: Of the file.
        custom_objects: What the caller knows by name.
        allow: Names of layers whose code may run.

    Raises:
        ValueError: A layer holds Python code, or names a module to import or a function that is
            not Keras's; the message names the layers. Or `allow` names another layer.
    """
    if isinstance(allow, str):
        raise ValueError(f"`allow` must be a collection of layer names. Received: {allow!r}")
    allow = set(allow)
    found = [reason for config in header.configs for reason in _code(config, custom_objects)]
    with_code = {name for name, _ in found}
    if allow - with_code:
        raise ValueError(
            f"`allow` names {', '.join(sorted(allow - with_code))}: no such layer of {header.path} "
            f"holds code{f'; these do: {sorted(with_code)}' if with_code else ''}"
        )
    refused = dict.fromkeys(f"{name!r} {what}" for name, what in found if name not in allow)
    if refused:
        names = sorted({name for name, _ in found})
        raise ValueError(
            f"{header.path}: {'; '.join(refused)}. Loading would run it: pass what is missing as "
            f"custom_objects, or allow={names} if you trust who made the file"
        )


def _code(config, custom_objects: Mapping, owner: str = "model") -> Iterator[tuple[str, str]]:
    """`(layer, what it holds)` for all that is code."""
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from _code(item, custom_objects, owner)
    if not isinstance(config, dict):
        return
    kind, inside = config.get("class_name"), config.get("config")
    if kind is not None and isinstance(inside, dict) and isinstance(inside.get("name"), str):
        owner = inside["name"]
    if kind == "__lambda__" or "lambda" in (
        config.get("function_type"),
        config.get("output_shape_type"),
        config.get("mask_type"),
    ):
        yield owner, "holds Python code (a lambda)"
        return
    if kind == "Lambda" and isinstance(inside, dict) and inside.get("function_type") == "function":
        yield from _function(inside.get("function"), custom_objects, owner)
    if kind == "function":
        yield from _function(inside, custom_objects, owner)
    module = config.get("module")
    if kind is not None and isinstance(module, str) and not _known(config, custom_objects):
        yield owner, f"is or uses {kind} of the module {module!r}"
    for item in config.values():
        yield from _code(item, custom_objects, owner)


def _function(name, custom_objects: Mapping, owner: str) -> Iterator[tuple[str, str]]:
    if isinstance(name, dict):
        name = name.get("config")
    known = any(hasattr(module, str(name)) for module in _FUNCTIONS)
    if not (known or name in custom_objects or _registered(str(name))):
        yield owner, f"calls the function {name!r}"


def _known(config: dict, custom_objects: Mapping) -> bool:
    root = config["module"].split(".")[0]
    names = (config["class_name"], config.get("registered_name"))
    if root in _MODULES or (root == "builtins" and config["class_name"] == "function"):
        return True
    return any(name in custom_objects or _registered(str(name)) for name in names if name)


def _registered(name: str) -> bool:
    """Whether code of the caller has announced it, to Keras 3 or to tf_keras."""
    import sys

    known = [keras.saving.get_custom_objects()]
    if "tf_keras" in sys.modules:
        known.append(sys.modules["tf_keras"].saving.get_custom_objects())
    return any(name == key or name == key.split(">")[-1] for objects in known for key in objects)

"""What only training asks of layers: initializers, regularizers and constraints of one's own.

A model that was trained answers the same without them, so they need not be there to load it. Where
a file names a class that nobody knows in such a place, a stand-in is made in its stead.
"""

from collections.abc import Callable, Iterator, Mapping

ROLES = ("initializer", "regularizer", "constraint")


def role_of(argument: str) -> str | None:
    """Which of the three an argument of a layer is, by its name; None of others."""
    return next((role for role in ROLES if argument.endswith(f"_{role}")), None)


def named_in(config, is_known: Callable[[dict], bool]) -> Iterator[tuple[str, str]]:
    """`(role, name)` of each class of the three roles that is not known.

    Args:
        config: A configuration, as a file holds it.
        is_known: Says of an object's configuration whether its class is known.
    """
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from named_in(item, is_known)
    if not isinstance(config, dict):
        return
    for key, value in config.items():
        if stays_behind(key, value) and not is_known(value):
            for name in (value["class_name"], value.get("registered_name")):
                if name:
                    yield role_of(key), str(name)
        else:
            yield from named_in(value, is_known)


def without(config, is_known: Callable[[dict], bool]):
    """A configuration without the objects that `named_in` names."""
    if isinstance(config, (list, tuple)):
        return [without(item, is_known) for item in config]
    if not isinstance(config, dict):
        return config
    return {
        key: without(value, is_known)
        for key, value in config.items()
        if not stays_behind(key, value) or is_known(value)
    }


def stays_behind(key, value) -> bool:
    """Whether a part of a configuration is an object of the three roles, found by its class's name.

    Of a module alone Keras would import that first, and of two names go by either.
    """
    if not isinstance(key, str) or role_of(key) is None or not isinstance(value, dict):
        return False
    name, registered = value.get("class_name"), value.get("registered_name")
    if not isinstance(name, str) or not isinstance(value.get("config"), dict):
        return False
    plain = name.split(">")[-1]
    is_class = plain.isidentifier() and plain[0].isupper()  # no function has its name
    if registered is None:
        return is_class and value.get("module") is None
    return is_class and str(registered).split(">")[-1] == plain


def stand_in(role: str, name: str) -> type:
    """A class of tf_keras's that does nothing in that role.

    Args:
        role: One of `ROLES`.
        name: Of the class that it stands for.
    """
    import tensorflow as tf

    calls = {
        "initializer": lambda self, shape, dtype=None, **kwargs: tf.zeros(
            shape, dtype or "float32"
        ),
        "regularizer": lambda self, x: tf.zeros((), x.dtype),
        "constraint": lambda self, w: w,
    }
    methods = {
        "__call__": calls[role],
        "get_config": lambda self: {},
        "from_config": classmethod(lambda cls, config: cls()),
    }
    return type(name.split(">")[-1], (), methods)


def left_behind(old, custom_objects: Mapping) -> list[str]:
    """What is said of regularizers and constraints of one's own that are not carried over.

    Args:
        old: A model of tf_keras.
        custom_objects: What the caller knows by name.
    """
    found = dict.fromkeys(
        (role_of(name), type(value).__name__)
        for layer in old._flatten_layers()
        for name, value in vars(layer).items()
        if role_of(name) in ROLES[1:] and _is_own(value, custom_objects)
    )
    return [f"the {role} {name} stays behind" for role, name in found]


def _is_own(value, custom_objects: Mapping) -> bool:
    cls = type(value)
    keras_own = cls.__module__.split(".")[0] in ("tf_keras", "keras", "builtins")
    return not keras_own and cls.__name__ not in custom_objects

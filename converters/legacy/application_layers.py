"""Layers that both Kerases write beside their applications: custom objects that everybody has."""

import inspect
from collections.abc import Mapping
from importlib import import_module
from typing import Any

# `{class: (module of the applications, what its configuration says beside every layer's)}`.
_LAYERS = {
    "LayerScale": ("convnext", {"init_values", "projection_dim"}),
    "StochasticDepth": ("convnext", {"drop_path_rate"}),
    "CustomScaleLayer": ("inception_resnet_v2", {"scale"}),
}
_EVERY_LAYER = {"name", "trainable", "dtype", "batch_input_shape", "build_config"}


def application_layers(package: str) -> dict[str, type]:
    """`{name: class}` of those layers.

    Args:
        package: `"keras"` or `"tf_keras"`.
    """
    found = {
        name: getattr(import_module(f"{package}.src.applications.{module}"), name, None)
        for name, (module, _) in _LAYERS.items()
    }
    return {name: cls for name, cls in found.items() if inspect.isclass(cls)}


def is_application_layer(config: Mapping[str, Any]) -> bool:
    """Whether an object of that configuration is one of them, and no other class of the name.

    Args:
        config: With its `class_name`, `config` and maybe its `module`.
    """
    name, inside, module = config["class_name"], config.get("config"), config.get("module")
    if name not in _LAYERS or not isinstance(inside, Mapping):
        return False
    place, own = _LAYERS[name]
    if module is not None and not str(module).endswith(f".applications.{place}"):
        return False
    return set(inside) - _EVERY_LAYER == own

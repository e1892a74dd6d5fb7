"""Models of legacy tf_keras (Keras 2, `tf.keras` of old) as models of Keras 3."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from converters.legacy.loading import load_model, migrate
    from converters.legacy.migration import Migration

_HOMES = {"Migration": "migration", "load_model": "loading", "migrate": "loading"}

__all__ = ["Migration", "load_model", "migrate"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"converters.legacy.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'converters.legacy' has no attribute {name!r}")

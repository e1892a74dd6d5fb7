"""TensorFlow Model Optimization (TFMOT) as an engine, with edgekit's arguments: `ek.tfmot.prune`.

A model of legacy tf_keras is worked on where it is, one of Keras 3 in a process of its own.
TFMOT's known traps are closed: sources stay as they are, short fits are refused, masks are in the
weights when they are stripped, layers that it does not know stay as they are.

Example:
    >>> pruned, callbacks = ek.tfmot.prune(model, 0.8)
    >>> pruned.compile("adam", "sparse_categorical_crossentropy")
    >>> pruned.fit(x, y, epochs=4, callbacks=callbacks)
    >>> ek.tfmot.strip(pruned).save("pruned.keras")
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgekit.tfmot.clustering import cluster
    from edgekit.tfmot.preserving import preserve
    from edgekit.tfmot.pruning import prune
    from edgekit.tfmot.quantization import quantize_aware
    from edgekit.tfmot.stripping import strip

_HOMES = {
    "cluster": "clustering",
    "preserve": "preserving",
    "prune": "pruning",
    "quantize_aware": "quantization",
    "strip": "stripping",
}

__all__ = ["cluster", "preserve", "prune", "quantize_aware", "strip"]


def __getattr__(name: str):
    if name in _HOMES:
        return getattr(import_module(f"edgekit.tfmot.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'edgekit.tfmot' has no attribute {name!r}")

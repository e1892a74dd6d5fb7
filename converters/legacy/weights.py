"""Weights of legacy layers, given to their Keras 3 counterparts."""

import keras
import numpy as np

from converters.errors import MigrationError
from converters.legacy.layers import LOOKUPS

# Their inner layers are counterparts of layers too; an LSTM's cell is its own affair.
WRAPPERS = ("TimeDistributed", "RNN", "StackedRNNCells")


def give_weights(pairs: list[tuple]) -> None:
    """Set the weights of each `new` in `(old, new)` to those of `old`.

    Args:
        pairs: Each layer and model once, those inside wrappers too.

    Raises:
        MigrationError: A layer has other weights in Keras 3.
    """
    for old, new in pairs:
        if hasattr(new, "forward_layer"):  # made from the configuration of the layer it was given
            _give(old.forward_layer, new.forward_layer)
            _give(old.backward_layer, new.backward_layer)
        elif not isinstance(new, keras.Model) and type(old).__name__ not in LOOKUPS:
            _give(old, new)


def _give(old, new) -> None:
    theirs, ours = _own(old), _own(new)
    if len(theirs) != len(ours):
        raise MigrationError(
            f"{type(old).__name__} {old.name!r} has {len(theirs)} weights, {len(ours)} in Keras 3"
        )
    theirs = _in_order_of(ours, theirs)
    for source, target in zip(theirs, ours, strict=True):
        if tuple(source.shape) != tuple(target.shape):
            raise MigrationError(
                f"{type(old).__name__} {old.name!r}: {target.path} has shape "
                f"{tuple(target.shape)} in Keras 3, {tuple(source.shape)} in the file"
            )
        target.assign(np.asarray(source))
    if isinstance(new, keras.layers.Normalization):
        new.finalize_state()  # what it computes from them


def _own(layer) -> list:
    """Weights but those of the layers that a wrapper was given, which are pairs of their own."""
    inner = [getattr(layer, name, None) for name in ("layer", "cell")]
    parts = [part for part in (*inner, *getattr(layer, "cells", ())) if hasattr(part, "weights")]
    if type(layer).__name__ not in WRAPPERS:
        parts = []
    others = {id(weight) for part in parts for weight in part.weights}
    return [weight for weight in layer.weights if id(weight) not in others]


def _in_order_of(ours: list, theirs: list) -> list:
    """By name where both sides have the same names, each once."""
    by_name = {weight.name.split(":")[0].split("/")[-1]: weight for weight in theirs}
    names = [weight.name for weight in ours]
    if len(by_name) == len(theirs) and set(by_name) == set(names):
        return [by_name[name] for name in names]
    return theirs

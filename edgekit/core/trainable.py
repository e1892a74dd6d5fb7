"""Models whose weights are new."""

import keras

from edgekit.core.selection import all_layers


def trainable(model: keras.Model) -> keras.Model:
    """The model, with every layer set to train: a copy of a frozen one is frozen too."""
    for layer in all_layers(model):
        layer.trainable = True
    return model

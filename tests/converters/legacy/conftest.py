"""A layer of a user's own, as it was and as it is written for Keras 3."""

import keras
import pytest


@pytest.fixture(scope="session")
def own_layers():
    """`(old class, new class)`, both called Scale."""
    tk = pytest.importorskip("tf_keras")

    class Scale(tk.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight("scale", shape=shape[-1:], initializer="uniform")

        def call(self, x):
            return self.scale * x

    class NewScale(keras.layers.Layer):
        def build(self, shape):
            self.scale = self.add_weight(name="scale", shape=shape[-1:])

        def call(self, x):
            return self.scale * x

    return Scale, NewScale

"""What all wrappers of quantisation-aware training have in common."""

import keras


class QuantizeWrapper(keras.layers.Wrapper):
    """Holds the layers that LiteRT computes as one op, and gives them back plain.

    Subclasses say in `parts` which attributes hold layers, in the order in which they apply;
    an attribute may be None.
    """

    parts: tuple[str, ...] = ("layer",)

    def inner_layers(self) -> list[keras.layers.Layer]:
        """The trained layers inside, in order."""
        found = (getattr(self, name) for name in self.parts)
        return [layer for layer in found if layer is not None]

    def plain_layers(self) -> list[keras.layers.Layer]:
        """New layers as their user wrote them, in the order of `inner_layers`; not built."""
        config = self.get_config()
        return [
            keras.saving.deserialize_keras_object(config[name])
            for name in self.parts
            if config[name] is not None
        ]

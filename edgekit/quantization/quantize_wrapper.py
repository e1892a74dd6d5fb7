"""What all wrappers of quantisation-aware training have in common."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict

import keras

from edgekit.core.graph import copy_layer
from edgekit.quantization.call_sites import at_site
from edgekit.quantization.input_grids import input_rounding
from edgekit.quantization.scheme import QuantScheme


class QuantizeWrapper(keras.layers.Wrapper):
    """Holds the layers that LiteRT computes as one unit, and gives them back plain.

    Subclasses say in `parts` which attributes hold layers, in the order in which they apply;
    an attribute may be None.

    Args:
        layer: The layer that gives the wrapper its name and shape.
        scheme: How to quantise. Defaults to that of `"int8"`.
        sites: How often the layer is called in all: each call has activation ranges of its own.
            Defaults to `1`.

    Call arguments:
        inputs: As the layer takes them.
        training: Whether this is a training call.
        site: See `at_site`. Defaults to `0`.

    Attributes:
        output_range: The range LiteRT prescribes for the output, or None.
        emulates_kernels: Whether it computes what LiteRT's kernels round in their own way, and is
            told the `input_step` at inference; the converter, whose graph the kernels compute,
            turns it off.
        left_float: `[(what, why)]` inside the wrapper that has no integer arithmetic; known
            when it is built.
    """

    parts: tuple[str, ...] = ("layer",)
    output_range: tuple[float, float] | None = None
    emulates_kernels = False

    def __init__(self, layer, scheme: QuantScheme | None = None, sites: int = 1, **kwargs):
        kwargs.setdefault("name", f"quant_{layer.name}")
        super().__init__(layer, **kwargs)
        self.scheme = scheme or QuantScheme()
        self.sites = sites
        self.supports_masking = True
        self.left_float: list[tuple[str, str]] = []
        # The loss is on what the user's layer gives out, which is not what it computes in here.
        self.activity_regularizer = layer.activity_regularizer
        layer.activity_regularizer = None

    def call(self, inputs, training=None, site=0):
        known = {}
        if self.emulates_kernels and not training:
            rounding = input_rounding(self, site)
            known["input_step"] = None if rounding is None else rounding.step()
        with at_site(site):
            return self.compute(inputs, training, **known)

    def compute(self, inputs, training):
        """What the wrapper gives for its inputs, with the ranges of the call that is running."""
        raise NotImplementedError

    def compute_mask(self, inputs, previous_mask=None):
        if not all(layer.supports_masking for layer in self.inner_layers()):
            return None  # Keras lets no mask past such a layer
        return self.layer.compute_mask(inputs, previous_mask)

    def output_facts(self, count: int) -> list[tuple[bool, tuple[float, float] | None]]:
        """For each output: is it on a grid already, and which range does LiteRT prescribe."""
        return [(False, self.output_range)] * count

    def apply_plain(self, layers: list[keras.layers.Layer], inputs, training=None):
        """What the wrapper computes, with plain layers and without rounding.

        Args:
            layers: From `plain_layers`.
            inputs: What the wrapper is called with.
            training: The flag it is called with.
        """
        for layer in layers:
            norm = isinstance(layer, keras.layers.BatchNormalization)
            inputs = layer(inputs, **({"training": training} if norm else {}))
        return inputs

    def start_scales(self) -> None:
        """Set learned scales to where they start for the kernels of now."""

    def inner_layers(self) -> list[keras.layers.Layer]:
        """The trained layers inside, in order."""
        found = (getattr(self, name) for name in self.parts)
        return [layer for layer in found if layer is not None]

    def plain_layers(self) -> list[keras.layers.Layer]:
        """New layers as their user wrote them, in the order of `inner_layers`; not built."""
        copies = [copy_layer(layer) for layer in self.inner_layers()]
        self._restore(copies[0])
        return copies

    @contextmanager
    def as_written(self) -> Iterator[None]:
        """Within it the layer inside is as its user wrote it: what the wrapper took is back."""
        names = ("activation", "activity_regularizer")
        taken = {name: getattr(self.layer, name) for name in names if hasattr(self.layer, name)}
        self._restore(self.layer)
        try:
            yield
        finally:
            for name, value in taken.items():
                setattr(self.layer, name, value)

    def _restore(self, layer: keras.layers.Layer) -> None:
        """Give a copy of the layer inside what the wrapper took from it."""
        layer.activity_regularizer = self.activity_regularizer

    def get_config(self):
        config = {**super().get_config(), "scheme": asdict(self.scheme), "sites": self.sites}
        regularizer = self.activity_regularizer
        config.pop("activity_regularizer", None)
        inner = config["layer"]["config"]
        if regularizer is not None and "activity_regularizer" in inner:
            inner["activity_regularizer"] = keras.regularizers.serialize(regularizer)
        for name in self.parts[1:]:
            config[name] = keras.saving.serialize_keras_object(getattr(self, name))
        for name in self.parts:
            if config[name] is not None:  # wrappers that hold one layer hold one when loaded
                config[name]["shared_object_id"] = id(getattr(self, name))
        return config

    @classmethod
    def from_config(cls, config, custom_objects=None):
        for name in cls.parts:
            config[name] = keras.saving.deserialize_keras_object(
                config[name], custom_objects=custom_objects
            )
        return cls(**{**config, "scheme": QuantScheme(**config["scheme"])})

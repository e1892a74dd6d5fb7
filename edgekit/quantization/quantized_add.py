"""Add of several tensors in integers: LiteRT adds two at a time."""

import keras

from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.quantize_wrapper import QuantizeWrapper


@keras.saving.register_keras_serializable(package="edgekit")
class QuantizedAdd(QuantizeWrapper):
    """An Add of three or more inputs, with each partial sum rounded.

    Args:
        layer: The Add layer.
    """

    def __init__(self, layer, **kwargs):
        kwargs.setdefault("name", f"quant_{layer.name}")
        super().__init__(layer, **kwargs)

    def build(self, input_shape):
        super().build(input_shape)
        self.partial_sums = [
            FakeQuantize(name=f"partial_sum_{i}") for i in range(len(input_shape) - 2)
        ]
        shape = self.compute_output_shape(input_shape)
        for rounding in self.partial_sums:
            rounding.build(shape)

    def call(self, inputs, training=None):
        total, *rest = inputs
        for i, term in enumerate(rest):
            if i:
                total = self.partial_sums[i - 1](total, training=training)
            total = self.layer([total, term])
        return total

    def compute_output_shape(self, input_shape):
        return self.layer.compute_output_shape(input_shape)

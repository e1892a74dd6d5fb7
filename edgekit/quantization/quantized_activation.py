"""An activation function in integers."""

import keras
from keras import ops

from edgekit.core.tracing import trace
from edgekit.quantization.scheme import QuantScheme


class QuantizedActivation(keras.layers.Layer):
    """Computes an activation with the operations LiteRT has, each rounded.

    Args:
        function: The activation, of one tensor.
        scheme: How to quantise.
        sites: How often it is called in all. Defaults to `1`.

    Attributes:
        left_float: `[(what, why)]` that has no integer arithmetic; known when it is built.
    """

    def __init__(self, function, scheme: QuantScheme, sites: int = 1, **kwargs):
        super().__init__(**kwargs)
        self.function = function
        self.scheme = scheme
        self.sites = sites
        self.left_float: list[tuple[str, str]] = []
        self.roundings: list[keras.layers.Layer] = []

    def build(self, input_shape):
        # The two know each other: an activation may be a graph of operations.
        from edgekit.quantization.graph_quantizer import quantize_graph

        try:
            inputs = [keras.Input(batch_shape=input_shape, dtype="float32")]
            graph = trace(_symbolic(self.function), inputs)
        except Exception:  # it is the user's function: it may raise anything
            self.quantized = None
            name = getattr(self.function, "__name__", type(self.function).__name__)
            self.left_float = [(name, "its operations cannot be followed")]
            return
        found = quantize_graph(graph, self.scheme, rounded=[True], runs=self.sites)
        self.roundings = found.layers
        self.left_float = found.left_float
        self.quantized = found.function

    def call(self, inputs):
        if self.quantized is None:
            return self.function(inputs)
        outputs = self.quantized([ops.cast(inputs, "float32")])
        return ops.cast(outputs, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


def _symbolic(function):
    """The same activation from keras.ops, where that of keras.activations cannot be followed."""
    name = getattr(function, "__name__", "")
    if getattr(keras.activations, name, None) is not function:
        return function
    return _mish if name == "mish" else getattr(ops, name, function)


def _mish(x):
    return x * ops.tanh(ops.softplus(x))

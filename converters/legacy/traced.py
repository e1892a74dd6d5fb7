"""A model of tf_keras as it is, inside a Keras 3 model: for conversion only.

What cannot be carried over, as a class of the user's own or TensorFlow Model Optimization's
wrappers, can still be traced.
"""

import keras
import numpy as np
from keras import tree

from converters.errors import MigrationError
from converters.legacy.layers import keras_name
from converters.legacy.migration import carry_over
from converters.legacy.structures import unwrapped

# Where TFMOT's ranges end before it has seen anything.
_FIRST_MAXIMA = (0.0, 6.0)


def convertible(model) -> keras.Model:
    """A model of tf_keras as a Keras 3 model that converts to the same.

    Args:
        model: A model of tf_keras.

    Raises:
        ValueError: It has no known input shape.
    """
    try:
        return carry_over(model, "tf_keras", {}).model
    except MigrationError:
        return traced(model)


def traced(old) -> keras.Model:
    """A Keras 3 model that calls `old`.

    Args:
        old: A model of tf_keras.

    Raises:
        ValueError: It has no known input shape.
    """
    structure = _input_structure(old)
    inputs = tree.map_structure(_input, structure)
    return keras.Model(inputs, TracedModel(old)(inputs), name=keras_name(old.name))


class TracedModel(keras.layers.Layer):
    """Calls a model of tf_keras in inference mode.

    A model that TensorFlow Model Optimization made quantisation-aware says so, as edgekit's
    layers do: its ranges are inside.

    Args:
        old: The model.
    """

    def __init__(self, old):
        super().__init__(name=keras_name(old.name), trainable=False)
        self._old = _Untracked(old)
        names = {type(layer).__name__ for layer in old._flatten_layers()}
        self._probabilities: list[bool] = []
        if any(name.startswith("QuantizeWrapper") for name in names):
            self.rounds, self.bits, self.strip = "activations", 8, "ek.tfmot.strip"
            self._probabilities = [_gives_probabilities(tensor) for tensor in old.outputs]

    @property
    def calibrated(self) -> bool:
        """Whether TFMOT's ranges have moved from where it begins them."""
        highest = [v for v in self.foreign_variables if v.name.split(":")[0].endswith("_max")]
        return not all(np.all(np.isin(v.numpy(), _FIRST_MAXIMA)) for v in highest)

    @property
    def foreign_variables(self) -> list:
        """The model's variables, which are TensorFlow's and not Keras 3's."""
        return list(self._old.model.variables)

    def call(self, inputs):
        outputs = unwrapped(self._old.model(inputs, training=False))
        if not any(self._probabilities):
            return outputs
        # TFMOT leaves these to the converter, which knows their range.
        flat = [
            _rounded(tensor) if known else tensor
            for tensor, known in zip(tree.flatten(outputs), self._probabilities, strict=True)
        ]
        return tree.pack_sequence_as(outputs, flat)


def _gives_probabilities(tensor) -> bool:
    """Whether the layer that makes it ends in softmax or sigmoid."""
    layer = tensor._keras_history.layer
    inside = getattr(layer, "layer", layer)
    activation = getattr(inside, "activation", None)
    activation = getattr(activation, "activation", activation)  # in TFMOT's wrapper
    names = {type(inside).__name__, getattr(activation, "__name__", "")}
    return bool(names & {"Softmax", "softmax", "sigmoid"})


def _rounded(tensor):
    """On the grid that LiteRT prescribes for probabilities."""
    import tensorflow as tf

    return tf.quantization.fake_quant_with_min_max_args(tensor, 0.0, 255 / 256)


class _Untracked:
    """Keeps a model from being taken for a part of a Keras 3 layer."""

    def __init__(self, model):
        self.model = model


def foreign_variables(model: keras.Model) -> list:
    """Variables of the tf_keras models inside a model; none where there are none."""
    return [
        variable
        for layer in model._flatten_layers()
        for variable in getattr(layer, "foreign_variables", ())
    ]


def _input_structure(old):
    if getattr(old, "inputs", None):
        return old.inputs[0] if type(old).__name__ == "Sequential" else unwrapped(old.input)
    specs = old.save_spec() if old.built else None
    if specs is None:
        raise ValueError(
            f"model {old.name!r} has no known input shape: call it once on a batch of samples"
        )
    return unwrapped(specs[0][0])


def _input(tensor) -> keras.KerasTensor:
    name = getattr(getattr(tensor, "node", None), "layer", tensor).name
    return keras.Input(
        batch_shape=(None, *tensor.shape[1:]),
        dtype=tensor.dtype.name,
        name=keras_name(name.split(":")[0]) if name else None,
    )

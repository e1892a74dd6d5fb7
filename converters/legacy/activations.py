"""Activations that Keras 3 computes otherwise than Keras 2 did."""

import keras


@keras.saving.register_keras_serializable(package="edgekit")
def hard_sigmoid(x):
    """Keras 2's: `0.2 * x + 0.5`, between 0 and 1. Keras 3's has a slope of a sixth.

    Example:
        >>> keras.layers.LSTM(8, recurrent_activation=hard_sigmoid)

    Args:
        x: A tensor.
    """
    return keras.ops.clip(0.2 * x + 0.5, 0.0, 1.0)

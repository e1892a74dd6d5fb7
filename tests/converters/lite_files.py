"""Files that TensorFlow's converter makes of functions."""

from collections.abc import Callable

import tensorflow as tf

from converters import Flatbuffer


def lite_file(function: Callable, *specs: tf.TensorSpec) -> Flatbuffer:
    """A function of tensors of those shapes and dtypes as a `.tflite`."""
    traced = tf.function(function, input_signature=specs).get_concrete_function()
    return Flatbuffer(tf.lite.TFLiteConverter.from_concrete_functions([traced]).convert())

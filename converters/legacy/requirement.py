"""tf_keras, which comes with an extra."""

import sys
from types import ModuleType


def tf_keras() -> ModuleType:
    """The module. It leaves `tf.keras` and Keras 3 as they are.

    Raises:
        ImportError: It is not installed; the message says how to.
    """
    try:
        import tf_keras as module
    except ImportError:
        raise ImportError(
            "models of Keras 2 are read with tf_keras: pip install 'edgekit-keras[legacy]'"
        ) from None
    return module


def is_tf_keras_model(model) -> bool:
    """Whether it is a model of tf_keras; asks without loading that."""
    module = sys.modules.get("tf_keras")
    return module is not None and isinstance(model, module.Model)


def is_tfmot_layer(layer) -> bool:
    """Whether the layer is TensorFlow Model Optimization's, around another or beside it."""
    return type(layer).__module__.split(".")[0] == "tensorflow_model_optimization"

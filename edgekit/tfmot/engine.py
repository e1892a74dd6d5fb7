"""Loading TFMOT without what it does to the process."""

import os
from collections.abc import Callable
from types import ModuleType

import numpy as np

from converters.legacy.requirement import is_tf_keras_model, is_tfmot_layer

_HALVES = ("float16", "bfloat16")
_SWITCH = "TF_USE_LEGACY_KERAS"


def load_tfmot() -> ModuleType:
    """The module `tensorflow_model_optimization`; `tf.keras` stays what it is.

    Raises:
        ImportError: It is not installed; the message names the extra.
    """
    import tensorflow as tf

    # It sets the switch and asks for tf.keras, which is made when first asked for, and then stays.
    tf.keras.Model  # noqa: B018
    before = os.environ.get(_SWITCH)
    try:
        import tensorflow_model_optimization as tfmot
    except ImportError as error:
        raise ImportError(
            f"TensorFlow Model Optimization is missing ({error.name}): "
            "pip install 'edgekit-keras[tfmot]'"
        ) from None
    finally:
        if before is None:
            os.environ.pop(_SWITCH, None)
        else:
            os.environ[_SWITCH] = before
    return tfmot


def check_tf_keras_model(model) -> None:
    """Refuse what TFMOT does not work on.

    Raises:
        ValueError: It is no built Sequential or Functional model of tf_keras.
    """
    if not is_tf_keras_model(model):
        raise ValueError(
            f"`model` must be a model of tf_keras or Keras 3. Received: {type(model).__name__}"
        )
    import tf_keras

    graph = isinstance(model, tf_keras.Sequential) or model._is_graph_network
    if not graph or not model.built:
        raise ValueError(
            f"TFMOT works on built Sequential and Functional models; {model.name!r} is "
            f"{'not built: call it once' if graph else 'a class of its own'}"
        )


def check_source(model) -> None:
    """Refuse what TFMOT cannot begin with.

    Raises:
        ValueError: As `check_tf_keras_model`; or it has TFMOT's wrappers already, computes in
            another precision than float32, or has weights that are not finite.
    """
    check_tf_keras_model(model)
    layers = flat_layers(model)
    if any(is_tfmot_layer(layer) for layer in layers):
        raise ValueError(
            f"model {model.name!r} has TFMOT's wrappers already: ek.tfmot.strip it first"
        )
    for layer in layers:
        if layer.compute_dtype in _HALVES:
            raise ValueError(
                f"TFMOT works in float32 only: {layer.name!r} computes in {layer.compute_dtype}"
            )
        for weight in layer.weights:
            # What a lookup learned is no array.
            if hasattr(weight, "numpy") and not np.all(np.isfinite(weight.numpy())):
                raise ValueError(f"weights of {layer.name!r} are not finite: TFMOT needs numbers")


def flat_layers(model) -> list:
    """The model's layers, and those of the models inside in place of these."""
    import tf_keras

    found = []
    for layer in model.layers:
        found += flat_layers(layer) if isinstance(layer, tf_keras.Model) else [layer]
    return list(dict.fromkeys(found))


def wrapped(model, wrap: Callable):
    """The model with each layer as `wrap` gives it, those of models inside too.

    Args:
        model: Of tf_keras.
        wrap: Gives a layer, or the same, for each one.
    """
    import tf_keras

    def change(layer):
        inside = isinstance(layer, tf_keras.Model)
        return wrapped(layer, wrap) if inside else wrap(layer)

    return tf_keras.models.clone_model(model, clone_function=change)


def copied(model):
    """The same model with layers and weights of its own: TFMOT would share them.

    Args:
        model: Of tf_keras.
    """
    import tf_keras

    copy = tf_keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    return copy

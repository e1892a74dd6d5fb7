"""What each kind of layer means to integer arithmetic: the table quantize_aware works from."""

from dataclasses import dataclass
from enum import Enum

import keras
from keras import layers as kl


class Kind(Enum):
    """How LiteRT computes an op in integers, and so where values are rounded."""

    WEIGHTED = "multiplies with a kernel; output on a grid of its own"
    BATCHNORM = "folded into the weighted layer before it"
    ACTIVATION = "elementwise; fused into the layer before it, or on a grid of its own"
    COMPUTE = "no kernel; output on a grid of its own"
    SAME_GRID = "averages; output rounded to the grid of its input"
    VIEW = "moves or selects values; they stay on their grid"
    CONCAT = "all inputs on the grid of the output"


_KINDS = {
    Kind.WEIGHTED: (kl.Conv2D, kl.DepthwiseConv2D, kl.SeparableConv2D, kl.Dense),
    Kind.BATCHNORM: (kl.BatchNormalization,),
    Kind.ACTIVATION: (kl.Activation, kl.ReLU, kl.LeakyReLU, kl.Softmax),
    Kind.COMPUTE: (kl.Add, kl.GlobalAveragePooling2D),
    Kind.SAME_GRID: (kl.AveragePooling2D,),
    Kind.VIEW: (
        kl.MaxPooling2D,
        kl.GlobalMaxPooling2D,
        kl.Flatten,
        kl.Reshape,
        kl.Permute,
        kl.ZeroPadding2D,
        kl.Cropping2D,
        kl.Dropout,
        kl.SpatialDropout2D,
        kl.Identity,
    ),
    Kind.CONCAT: (kl.Concatenate,),
}


@dataclass(frozen=True)
class ActivationRule:
    """How an activation is computed in integers.

    Args:
        fused: Whether LiteRT computes it inside the op before it; otherwise its input is
            rounded too.
        fixed_range: The output range LiteRT prescribes, or None.
    """

    fused: bool = False
    fixed_range: tuple[float, float] | None = None


ACTIVATIONS = {
    "linear": ActivationRule(fused=True),
    "relu": ActivationRule(fused=True),
    "relu6": ActivationRule(fused=True),
    "leaky_relu": ActivationRule(),
    "softmax": ActivationRule(fixed_range=(0.0, 255 / 256)),
    "sigmoid": ActivationRule(fixed_range=(0.0, 255 / 256)),
    "tanh": ActivationRule(fixed_range=(-1.0, 127 / 128)),
}


def kind_of(operation: keras.Operation) -> Kind | None:
    """The operation's kind; None when integer arithmetic for it is not known here."""
    for kind, classes in _KINDS.items():
        if isinstance(operation, classes):
            return kind
    return None


def activation_of(layer: keras.layers.Layer) -> str | None:
    """Name in `ACTIVATIONS` of what the layer applies to its output; None when not in it."""
    if isinstance(layer, kl.ReLU):
        if layer.threshold:
            return None
        if layer.negative_slope:
            return "leaky_relu" if layer.max_value is None else None
        return {None: "relu", 6: "relu6"}.get(layer.max_value)
    if isinstance(layer, kl.LeakyReLU):
        return "leaky_relu"
    if isinstance(layer, kl.Softmax):
        return "softmax" if layer.axis == -1 else None
    activation = getattr(layer, "activation", keras.activations.linear)
    name = getattr(activation, "__name__", None)
    return name if name in ACTIVATIONS and getattr(keras.activations, name) is activation else None


def objection_to(operation: keras.Operation) -> str | None:
    """Why the operation cannot be quantised, in words for its user; None when it can."""
    if isinstance(operation, keras.Model):
        return "a nested model: put its layers into the outer model"
    if not isinstance(operation, kl.Layer):
        name = type(operation).__name__
        return (
            f"a bare operation: use a layer instead, such as keras.layers.{name}, if there is one"
        )
    if kind_of(operation) is None:
        return f"{type(operation).__name__} is not supported"
    if getattr(operation, "data_format", "channels_last") == "channels_first":
        return "data_format='channels_first' has no integer kernels in LiteRT; use channels_last"
    if kind_of(operation) in (Kind.WEIGHTED, Kind.ACTIVATION) and activation_of(operation) is None:
        if isinstance(operation, (kl.ReLU, kl.Softmax)):
            return (
                "LiteRT has this activation only with its default settings (ReLU: or max_value=6)"
            )
        name = getattr(operation.activation, "__name__", type(operation.activation).__name__)
        return f"its activation {name!r} is not one of {', '.join(ACTIVATIONS)}"
    return None

"""What each kind of layer means to integer arithmetic: the table quantize_aware works from."""

from dataclasses import dataclass
from enum import Enum

import keras
from keras import layers as kl


class Kind(Enum):
    """How LiteRT computes an op in integers, and so where values are rounded."""

    WEIGHTED = "multiplies with a kernel; output on a grid of its own"
    BATCHNORM = "folded into the weighted layer before it, or a factor per channel"
    ACTIVATION = "elementwise; fused into the op before it, or on a grid of its own"
    COMPUTE = "no kernel; output on a grid of its own"
    SAME_GRID = "averages; output rounded to the grid of its input"
    VIEW = "moves or selects values; they stay on their grid"
    PICK = "takes values from several inputs, all on the grid of the output"
    FINE = "its input is rounded to 16 bits"
    COMPOSITE = "a layer that is several ops"
    NESTED = "a model in the model"


_LAYER_KINDS = {
    Kind.WEIGHTED: (
        kl.Conv1D,
        kl.Conv2D,
        kl.Conv1DTranspose,
        kl.Conv2DTranspose,
        kl.DepthwiseConv1D,
        kl.DepthwiseConv2D,
        kl.SeparableConv1D,
        kl.SeparableConv2D,
        kl.Dense,
    ),
    Kind.BATCHNORM: (kl.BatchNormalization,),
    Kind.ACTIVATION: (kl.Activation, kl.ReLU, kl.LeakyReLU, kl.ELU, kl.Softmax),
    Kind.COMPUTE: (
        kl.Add,
        kl.GlobalAveragePooling1D,
        kl.GlobalAveragePooling2D,
        kl.Multiply,
        kl.Subtract,
    ),
    Kind.SAME_GRID: (kl.AveragePooling1D, kl.AveragePooling2D, kl.Resizing, kl.UpSampling2D),
    Kind.VIEW: (
        kl.MaxPooling1D,
        kl.MaxPooling2D,
        kl.GlobalMaxPooling1D,
        kl.GlobalMaxPooling2D,
        kl.Flatten,
        kl.Reshape,
        kl.Permute,
        kl.RepeatVector,
        kl.UpSampling1D,
        kl.ZeroPadding1D,
        kl.ZeroPadding2D,
        kl.Cropping1D,
        kl.Cropping2D,
        # At inference these do nothing.
        kl.ActivityRegularization,
        kl.AlphaDropout,
        kl.Dropout,
        kl.GaussianDropout,
        kl.GaussianNoise,
        kl.Identity,
        kl.SpatialDropout1D,
        kl.SpatialDropout2D,
    ),
    Kind.PICK: (kl.Concatenate, kl.Maximum, kl.Minimum),
}

# Keras operations, as `a + b` or `keras.ops.exp(x)` put them into a model. They have no public
# classes, so they go by name.
_OPERATION_KINDS = {
    Kind.WEIGHTED: {"Conv", "ConvTranspose", "DepthwiseConv", "Matmul"},
    Kind.ACTIVATION: {
        "Elu",
        "Exp",
        "Gelu",
        "HardSilu",
        "LeakyRelu",
        "LogSoftmax",
        "ReLU",
        "Relu",
        "Relu6",
        "Sigmoid",
        "Softmax",
        "Tanh",
    },
    Kind.COMPUTE: {
        "Absolute",
        "Add",
        "Log",
        "L2Normalize",
        "Mean",
        "Multiply",
        "Rsqrt",
        "Subtract",
    },
    Kind.FINE: {"In16Bits"},
    Kind.SAME_GRID: {"AveragePool", "Resize"},
    Kind.VIEW: {
        "BroadcastTo",
        "Cast",
        "ExpandDims",
        "Flip",
        "GetItem",
        "Max",
        "MaxPool",
        "Min",
        "Moveaxis",
        "OneHot",
        "Pad",
        "PerSample",
        "Ravel",
        "Repeat",
        "Reshape",
        "Roll",
        "Split",
        "Squeeze",
        "StopGradient",
        "Swapaxes",
        "Take",
        "Tile",
        "Transpose",
        "Unstack",
    },
    Kind.PICK: {"Clip", "Concatenate", "Maximum", "Minimum", "Stack", "Where"},
}

# Names of operations that compute an activation of `ACTIVATIONS`.
_ACTIVATION_NAMES = {
    "Elu": "elu",
    "Exp": "exponential",
    "Gelu": "gelu",
    "HardSilu": "hard_silu",
    "LeakyRelu": "leaky_relu",
    "LogSoftmax": "log_softmax",
    "Relu": "relu",
    "Relu6": "relu6",
    "Sigmoid": "sigmoid",
    "Softmax": "softmax",
    "Tanh": "tanh",
}


@dataclass(frozen=True)
class ActivationRule:
    """How an activation is computed in integers.

    Args:
        fused: Whether LiteRT computes it inside the op before it; otherwise its input is
            rounded too.
        fixed: The output ranges LiteRT prescribes for 8 and for 16 bits, where it does.
    """

    fused: bool = False
    fixed: tuple[tuple[float, float], tuple[float, float] | None] | None = None

    def fixed_range(self, bits: int) -> tuple[float, float] | None:
        """The output range that is prescribed for integers of so many bits, if one is."""
        if self.fixed is None:
            return None
        return self.fixed[0] if bits == 8 else self.fixed[1]


_TO_ONE = ((0.0, 255 / 256), (-1.0, 32767 / 32768))
_AROUND_ZERO = ((-1.0, 127 / 128), (-1.0, 32767 / 32768))

# The activations LiteRT has an integer kernel for; others are taken apart, see expansions.py.
ACTIVATIONS = {
    "linear": ActivationRule(fused=True),
    "relu": ActivationRule(fused=True),
    "relu6": ActivationRule(fused=True),
    "leaky_relu": ActivationRule(),
    "elu": ActivationRule(),
    "exponential": ActivationRule(),
    "gelu": ActivationRule(),
    "hard_silu": ActivationRule(),
    "softmax": ActivationRule(fixed=_TO_ONE),
    "sigmoid": ActivationRule(fixed=_TO_ONE),
    "tanh": ActivationRule(fixed=_AROUND_ZERO),
    "log_softmax": ActivationRule(fixed=((-16 * 255 / 256, 0.0), None)),
}
_L2_NORMALIZE = ActivationRule(fixed=(_AROUND_ZERO[0], None))


def kind_of(operation: keras.Operation) -> Kind | None:
    """The operation's kind; None for an operation that integer arithmetic does not know."""
    if isinstance(operation, keras.Model):
        functional = isinstance(operation, keras.Sequential) or hasattr(
            operation, "_nodes_by_depth"
        )
        return Kind.NESTED if functional else Kind.COMPOSITE
    if not isinstance(operation, kl.Layer):
        kinds = (k for k, names in _OPERATION_KINDS.items() if type(operation).__name__ in names)
        return _kind_in_detail(operation, next(kinds, None))
    if getattr(operation, "data_format", None) == "channels_first":
        return None
    if _only_trains(operation):
        return Kind.VIEW
    for kind, classes in _LAYER_KINDS.items():
        # A subclass may compute anything.
        if type(operation) in classes:
            return _kind_in_detail(operation, kind)
    return Kind.COMPOSITE


def _only_trains(layer: kl.Layer) -> bool:
    """Whether it is an augmentation of Keras, which does nothing at inference."""
    name, module = type(layer).__name__, type(layer).__module__
    augments = name.startswith("Random") or name in ("AugMix", "CutMix", "MixUp")
    return augments and module.startswith("keras.")


def _kind_in_detail(layer: keras.Operation, kind: Kind | None) -> Kind | None:
    if isinstance(layer, (kl.Resizing, kl.UpSampling2D)) or type(layer).__name__ == "Resize":
        return _kind_of_resizing(layer, kind)
    if kind == Kind.ACTIVATION and activation_of(layer) is None:
        return Kind.COMPOSITE if isinstance(layer, kl.Layer) else None
    return kind


def _kind_of_resizing(operation: keras.Operation, kind: Kind | None) -> Kind | None:
    """By interpolation: of operations and layers only some have an integer kernel as they are."""
    options = ("antialias", "crop_to_aspect_ratio", "pad_to_aspect_ratio")
    plain = not any(getattr(operation, name, False) for name in options)
    if operation.interpolation == "bilinear" and plain:
        return Kind.SAME_GRID
    if isinstance(operation, kl.Layer):
        return Kind.COMPOSITE
    return Kind.VIEW if operation.interpolation == "nearest" and plain else None


def activation_of(operation: keras.Operation) -> str | None:
    """Name in `ACTIVATIONS` of what a layer applies to its output, or an operation computes.

    None when it is not in it.
    """
    name = type(operation).__name__
    if name == "ReLU":  # the layer, and the operation of keras.activations.relu
        if operation.threshold:
            return None
        if operation.negative_slope:
            return "leaky_relu" if operation.max_value is None else None
        return {None: "relu", 6: "relu6"}.get(operation.max_value)
    if isinstance(operation, kl.LeakyReLU):
        return "leaky_relu"
    if isinstance(operation, kl.ELU) or name == "Elu":
        return "elu" if operation.alpha == 1 else None
    if isinstance(operation, kl.Softmax):
        return "softmax" if operation.axis == -1 else None
    if not isinstance(operation, kl.Layer):
        return _ACTIVATION_NAMES.get(name)
    activation = getattr(operation, "activation", keras.activations.linear)
    name = getattr(activation, "__name__", None)
    return name if name in ACTIVATIONS and getattr(keras.activations, name) is activation else None


def fixed_range_of(operation: keras.Operation, bits: int) -> tuple[float, float] | None:
    """The output range LiteRT prescribes for the operation, or None."""
    if type(operation).__name__ == "L2Normalize":
        return _L2_NORMALIZE.fixed_range(bits)
    name = activation_of(operation)
    return ACTIVATIONS[name].fixed_range(bits) if name else None


def fuses(operation: keras.Operation) -> bool:
    """Whether LiteRT computes the activation inside the op before it."""
    name = activation_of(operation)
    return name is not None and ACTIVATIONS[name].fused

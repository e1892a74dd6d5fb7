"""Rounding what a ReLU gives, without its pass over the tensor: rounding clips as it does."""

from dataclasses import dataclass
from typing import Any

# TensorFlow's operations: where each clips above, and what its gradient is called.
_RELUS = {"Relu": (float("inf"), "ReluGrad"), "Relu6": (6.0, "Relu6Grad")}


@dataclass(frozen=True)
class Relu:
    """A ReLU in a TensorFlow graph.

    Args:
        inputs: What it clips.
        ceiling: Its largest value.
        gradient_name: The operation that is its gradient.
    """

    inputs: Any
    ceiling: float
    gradient_name: str

    def gradient(self, upstream: Any) -> Any:
        """The gradient of its inputs, from that of its outputs."""
        import tensorflow as tf

        return getattr(tf.raw_ops, self.gradient_name)(gradients=upstream, features=self.inputs)


def relu_of(tensor: Any) -> Relu | None:
    """The ReLU or ReLU6 that gives the tensor, if a TensorFlow graph says so; else None.

    Example:
        >>> relu = relu_of(tf.nn.relu6(x))  # in a tf.function
        >>> relu.inputs is x, relu.ceiling
        (True, 6.0)

    Args:
        tensor: Of any kind. Eager ones do not say what they come from.
    """
    operation = getattr(tensor, "op", None)
    ceiling, gradient_name = _RELUS.get(getattr(operation, "type", None), (None, None))
    if ceiling is None:
        return None
    return Relu(operation.inputs[0], ceiling, gradient_name)

"""What is observed of a model while it trains, for criteria that need more than the weights.

A watch adds to what the compiled train step does, and takes that away again on `release`.
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, Protocol

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgekit.core.kernel_axes import KernelAxes


class Watch(Protocol):
    """An array per kernel, of its shape or broadcast to it."""

    def read(self) -> list[np.ndarray]:
        """What has been observed so far."""

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Go on from what another run observed."""

    def release(self) -> None:
        """Observe no more."""


class GradientWatch:
    """Sums a value per weight over train steps, from the weight and its gradient.

    The optimizer's `apply` is told to add first; the innermost one's, where gradients have their
    true scale.

    Args:
        model: The model that trains.
        kernels: The variables to watch.
        value: `value(weight, gradient)`, called inside the train step.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[keras.Variable],
        value: Callable[[Any, Any], Any],
    ):
        optimizer = getattr(model, "optimizer", None)
        if optimizer is None:
            raise ValueError(
                "gradients are needed, but the model has no optimizer: compile it, or pass "
                "`optimizer` to ek.custom_loop"
            )
        while hasattr(optimizer, "inner_optimizer"):
            optimizer = optimizer.inner_optimizer
        self._optimizer = optimizer
        self._seen = False
        with model.distribute_strategy.scope():
            self._sums = [_accumulator(k.shape, f"{k.name}_gradients") for k in kernels]
        sums = {id(k): (k, total) for k, total in zip(kernels, self._sums, strict=True)}
        apply = optimizer.apply

        @functools.wraps(apply)
        def watched(grads, trainable_variables=None):
            self._seen = True
            grads = list(grads)
            if trainable_variables is not None:
                trainable_variables = list(trainable_variables)
            known = trainable_variables or optimizer._trainable_variables
            for variable, gradient in zip(known, grads, strict=True):
                if gradient is not None and id(variable) in sums:
                    kernel, total = sums[id(variable)]
                    gradient = tf.cast(tf.convert_to_tensor(gradient), "float32")
                    total.assign_add(value(tf.cast(kernel.value, "float32"), gradient))
            return apply(grads, trainable_variables)

        vars(optimizer)["apply"] = watched

    def read(self) -> list[np.ndarray]:
        """The sums.

        Raises:
            ValueError: The optimizer was never used.
        """
        if not self._seen:
            raise ValueError(
                "no gradients have been seen: the training does not use the optimizer of the "
                "model; pass the one it uses to ek.custom_loop, and trace the step within the loop"
            )
        return [ops.convert_to_numpy(total) for total in self._sums]

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Put other sums in their place."""
        self._seen = True
        for total, array in zip(self._sums, arrays, strict=True):
            total.assign(array)

    def reset(self) -> None:
        """Start again from zero."""
        self.write([np.zeros(total.shape, "float32") for total in self._sums])

    def release(self) -> None:
        """Give the optimizer its own `apply` back."""
        vars(self._optimizer).pop("apply", None)


class InputWatch:
    """The norm of each input channel of layers, over all positions and samples they have seen.

    Args:
        model: The model that trains.
        kernels: `(layer, kernel, its axes)` for each kernel to watch.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[tuple[keras.layers.Layer, keras.Variable, KernelAxes]],
    ):
        self._watched = []
        for layer, kernel, axes in kernels:
            places = _channels_read(layer, kernel, axes)
            with model.distribute_strategy.scope():
                total = _accumulator(_channel_sizes(layer, kernel, axes), "squared_inputs")
            self._watched.append((layer, total, places))
            _observe_inputs(layer, total)

    def read(self) -> list[np.ndarray]:
        """The norms, each in a shape that its kernel takes."""
        return [
            np.sqrt(ops.convert_to_numpy(total)).ravel()[places]
            for _, total, places in self._watched
        ]

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Put other norms in their place."""
        for (_, total, places), array in zip(self._watched, arrays, strict=True):
            squares = np.zeros(int(np.prod(total.shape)), "float32")
            squares[places] = np.square(array)
            total.assign(squares.reshape(total.shape))

    def release(self) -> None:
        """Give the layers their own `call` back."""
        for layer, _, _ in self._watched:
            vars(layer).pop("call", None)


class ScaleWatch:
    """The size of a scale vector per channel, as a BatchNormalization's gamma is.

    Args:
        scales: `(variable, shape)`, where the shape is one that the kernel takes.
    """

    def __init__(self, scales: Sequence[tuple[keras.Variable, Sequence[int]]]):
        self._scales = scales

    def read(self) -> list[np.ndarray]:
        """The sizes now."""
        return [np.abs(ops.convert_to_numpy(v)).reshape(shape) for v, shape in self._scales]

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Nothing: the scales are weights of the model."""

    def release(self) -> None:
        """Nothing to give back."""


def _channel_sizes(layer, kernel, axes: KernelAxes) -> list[int]:
    """How many channels the layer reads: one number per axis of its input that counts them."""
    sizes = [kernel.shape[axis] for axis in axes.inputs or axes.outputs[:1]]
    if axes.inputs:
        sizes[0] *= getattr(layer, "groups", 1)
    return sizes


def _channels_read(layer, kernel, axes: KernelAxes) -> np.ndarray:
    """The number of the channel that each place of a kernel is multiplied with."""
    channels = axes.inputs or axes.outputs[:1]
    rank, sizes = len(kernel.shape), _channel_sizes(layer, kernel, axes)
    shape = [kernel.shape[axis] if axis in channels else 1 for axis in range(rank)]
    if int(np.prod(shape)) == int(np.prod(sizes)):
        return np.arange(int(np.prod(sizes))).reshape(shape)
    # In groups: the filters of each read channels of their own.
    filters, each = kernel.shape[-1], kernel.shape[-2]
    first = np.arange(filters) // (filters // layer.groups) * each
    return (first + np.arange(each)[:, None]).reshape([1] * (rank - 2) + [each, filters])


def _accumulator(shape: Sequence[int], name: str) -> tf.Variable:
    # No keras.Variable: wrapped layers run in a scope that keeps those from changing.
    zeros = tf.zeros(tuple(shape), "float32")
    return tf.Variable(zeros, trainable=False, name=name, aggregation=tf.VariableAggregation.SUM)


def _observe_inputs(layer: keras.layers.Layer, total: tf.Variable) -> None:
    call = layer.call

    @functools.wraps(call)
    def watched(inputs, *args, **kwargs):
        if not isinstance(inputs, keras.KerasTensor):
            squares = tf.square(tf.cast(inputs, "float32"))
            channels = len(total.shape)
            total.assign_add(tf.reduce_sum(squares, axis=tuple(range(squares.ndim - channels))))
        return call(inputs, *args, **kwargs)

    vars(layer)["call"] = watched

"""What is observed of a model while it trains, for criteria that need more than the weights.

A watch adds to what the compiled train step does, and takes that away again on `release`.
"""

import functools
from collections.abc import Sequence
from typing import Protocol

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from edgekit.core.gradient_watch import accumulator
from edgekit.core.kernel_axes import KernelAxes
from edgekit.core.train_steps import forget_train_steps, in_train_step, watch_train_steps


class Watch(Protocol):
    """An array per kernel, of its shape or broadcast to it."""

    def read(self) -> list[np.ndarray]:
        """What has been observed so far."""

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Go on from what another run observed."""

    def release(self) -> None:
        """Observe no more."""


class InputWatch:
    """The norm of each input channel of layers, over all positions and samples of train steps.

    Args:
        model: The model that trains.
        kernels: `(layer, kernel, its axes)` for each kernel to watch.
    """

    def __init__(
        self,
        model: keras.Model,
        kernels: Sequence[tuple[keras.layers.Layer, keras.Variable, KernelAxes]],
    ):
        self._watched, self._model = [], model
        self._seen = self._released = False
        watch_train_steps(model)
        for layer, kernel, axes in kernels:
            places = _channels_read(layer, kernel, axes)
            with model.distribute_strategy.scope():
                total = accumulator(_channel_sizes(layer, kernel, axes), "squared_inputs")
            self._watched.append((layer, total, places))
            self._observe(layer, total)

    def read(self) -> list[np.ndarray]:
        """The norms, each in a shape that its kernel takes.

        Raises:
            ValueError: No train step has called the layers.
        """
        if not self._seen:
            raise ValueError(
                "no inputs have been seen in train steps: the step was traced before the pruning; "
                "trace it within ek.custom_loop"
            )
        return [
            np.sqrt(ops.convert_to_numpy(total)).ravel()[places]
            for _, total, places in self._watched
        ]

    def write(self, arrays: Sequence[np.ndarray]) -> None:
        """Put other norms in their place."""
        self._seen = True
        for (_, total, places), array in zip(self._watched, arrays, strict=True):
            squares = np.zeros(int(np.prod(total.shape)), "float32")
            squares[places] = np.square(array)
            total.assign(squares.reshape(total.shape))

    def release(self) -> None:
        """Give the layers their own `call` back."""
        if self._released:
            return
        self._released = True
        forget_train_steps(self._model)
        for layer, _, _ in self._watched:
            vars(layer).pop("call", None)

    def _observe(self, layer: keras.layers.Layer, total: tf.Variable) -> None:
        call = layer.call

        @functools.wraps(call)
        def watched(inputs, *args, **kwargs):
            # What is traced for validation or predictions, in the fit or before, does not count.
            if in_train_step(self._model) and not isinstance(inputs, keras.KerasTensor):
                self._seen = True
                squares = tf.square(tf.cast(inputs, "float32"))
                channels = len(total.shape)
                total.assign_add(tf.reduce_sum(squares, axis=tuple(range(squares.ndim - channels))))
            return call(inputs, *args, **kwargs)

        vars(layer)["call"] = watched


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

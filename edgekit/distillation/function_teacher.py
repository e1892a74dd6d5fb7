"""Teachers that are no Keras models: a `.tflite`, another framework's net, a function."""

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from edgekit.core.layer_calls import possible_inputs
from edgekit.distillation.output_activation import LINEAR, SOFTMAX, activations_of_values

# How far integer probabilities are from their sum of 1.
_SLACK = 0.1


class FunctionTeacher(keras.Model):
    """Whatever computes outputs from NumPy arrays, as a Keras model without weights.

    Example:
        >>> teacher = FunctionTeacher(lambda x: session.run(None, {"x": x})[0], like=student)

    Args:
        function: `function(x)` of a batch, as the student takes it, gives an array or a structure
            of them; or an object with such a `predict`.
        like: The student, whose inputs it takes.

    Attributes:
        answer_activations: `"softmax"` or `"linear"` of each output, told from two answers.

    Raises:
        TypeError: `function` is neither.
        ValueError: It fails on two samples of zeros, or gives something else than arrays of two
            samples; or the student does not say which inputs it takes.
    """

    def __init__(self, function: Callable[[Any], Any], like: keras.Model):
        super().__init__(name="teacher")
        function = getattr(function, "predict", function)
        if not callable(function):
            raise TypeError(
                "`teacher` must be a Keras model, a list of them, a function of arrays or an "
                f"object with `predict`. Received: {type(function).__name__}"
            )
        self._function, self._activations = function, []
        self._structure = self._tried(like)
        self.built = True

    @property
    def answer_shapes(self) -> list[tuple[int | None, ...]]:
        """The shapes of its outputs, in flat order."""
        return [(None, *shape.value) for shape in tree.flatten(self._structure)]

    def check(self, activations: Sequence[str]) -> None:
        """Let it fail where what it gives are no probabilities although they ought to be.

        Args:
            activations: What each output has been through.
        """
        self._activations = list(activations)

    @property
    def supports_jit(self) -> bool:
        """XLA cannot call back into Python."""
        return False

    @supports_jit.setter
    def supports_jit(self, value):
        pass

    def get_config(self) -> dict:
        raise ValueError(
            "a teacher that is a function or a file is not saved with the run: save the student "
            "(`distiller.student.save`), or the run's weights (keras.callbacks.BackupAndRestore)"
        )

    def call(self, inputs):
        flat = [tf.convert_to_tensor(tensor) for tensor in tree.flatten(inputs)]
        specs = tree.flatten(self._structure)

        def run(*arrays):
            given = tree.pack_sequence_as(inputs, [array.numpy() for array in arrays])
            outputs = [np.asarray(o, "float32") for o in tree.flatten(self._function(given))]
            for output, activation in zip(outputs, self._activations, strict=False):
                _check_probabilities(output, activation)
            return outputs

        outputs = tf.py_function(run, flat, [tf.float32] * len(specs))
        for output, shape in zip(outputs, specs, strict=True):
            output.set_shape((None, *shape.value))
        return tree.pack_sequence_as(self._structure, outputs)

    def _tried(self, like: keras.Model):
        found = possible_inputs(like)
        if not found:
            raise ValueError(
                f"student {like.name!r} does not say which inputs it takes: call it on data first"
            )
        inputs = found[0]
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]  # as it is fed
        two = tree.map_structure(
            lambda t: np.zeros((2, *(size or 1 for size in t.shape[1:])), t.dtype), inputs
        )
        try:
            outputs = self._function(two)
            self.answer_activations = activations_of_values(outputs)
            return tree.map_structure(_shape, outputs)
        except Exception as error:
            raise ValueError(
                f"`teacher` fails on two samples of zeros: {type(error).__name__}: {error}"
            ) from error


def _check_probabilities(output: np.ndarray, activation: str) -> None:
    if activation == LINEAR or not output.size:
        return
    inside = output.min() >= -_SLACK and output.max() <= 1 + _SLACK
    ones = activation != SOFTMAX or np.abs(output.sum(axis=-1) - 1).max() < _SLACK
    if not inside or not ones:
        raise ValueError(
            f"`teacher` gives no probabilities of a {activation}, but values from "
            f"{output.min():.3g} to {output.max():.3g}: teacher_activation='linear' in ek.distill "
            "takes them as logits"
        )


class _Shape:
    """The shape of one sample; a leaf, whatever the tree makes of tuples."""

    def __init__(self, value: tuple[int, ...]):
        self.value = value


def _shape(output) -> _Shape:
    output = np.asarray(output)
    if output.dtype.kind not in "fiub" or output.ndim == 0 or output.shape[0] != 2:
        raise ValueError(f"it gives shape {output.shape} of {output.dtype} for two samples")
    return _Shape(output.shape[1:])

"""Teachers that are no Keras models: a `.tflite`, another framework's net, a function."""

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import tree

from edgekit.core.layer_calls import possible_inputs
from edgekit.distillation.endings import LINEAR, LOG_SOFTMAX, SIGMOID, SOFTMAX
from edgekit.distillation.output_activation import Activation, limits_of
from edgekit.distillation.outputs import ASKED, Outputs, outputs_from, some_samples

# How far integer probabilities are from their sum of 1.
_SLACK = 0.1
# In steps of 8 bits, 1/256, all probabilities below a fifth of a percent are alike.
_FINEST_STEP = 1e-3
# So many probabilities may be 0 or 1 by chance.
_MOST_LOST = 0.01


class FunctionTeacher(keras.Model):
    """Whatever computes outputs from NumPy arrays, as a Keras model without weights.

    Example:
        >>> teacher = FunctionTeacher(lambda x: session.run(None, {"x": x})[0], like=student)

    Args:
        function: `function(x)` of a batch, as the student takes it, gives an array or a structure
            of them; or an object with such a `predict`.
        like: The student, whose inputs it takes.
        outputs: What the student answers with, along whose axes classes may run. Defaults to
            `None`: along the last.

    Attributes:
        answers_with: Its outputs, told from two answers.
        content: What the object is made of, if it says so: the bytes of a `.tflite`.

    Raises:
        TypeError: `function` is neither.
        ValueError: It fails on two samples of zeros, or gives something else than arrays of two
            samples; or the student does not say which inputs it takes.
    """

    def __init__(
        self, function: Callable[[Any], Any], like: keras.Model, outputs: Outputs | None = None
    ):
        super().__init__(name="teacher")
        self.content = getattr(function, "content", None)
        function = getattr(function, "predict", function)
        if not callable(function):
            raise TypeError(
                "`teacher` must be a Keras model, a list of them, a function of arrays or an "
                f"object with `predict`. Received: {type(function).__name__}"
            )
        self._function, self._ends = function, _Ends([])
        self._structure, self.answers_with = self._tried(like, outputs)
        self.built = True

    def check(self, ends: Sequence[Activation]) -> None:
        """Let it fail where what it gives are no probabilities although they ought to be.

        Args:
            ends: What each output has been through.
        """
        self._ends = _Ends(ends)

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
            answers = [np.asarray(answer) for answer in tree.flatten(self._function(given))]
            outputs = [answer.astype("float32") for answer in answers]
            expected = [(arrays[0].shape[0], *shape.value) for shape in specs]
            if [output.shape for output in outputs] != expected:
                raise ValueError(
                    f"`teacher` gives shapes {[output.shape for output in outputs]}, not {expected}"
                )
            for output, end in zip(outputs, self._ends.each, strict=False):
                _check_values(output, end)
            return self._told_apart(answers, outputs)

        outputs = tf.py_function(run, flat, [tf.float32] * len(specs))
        for output, shape in zip(outputs, specs, strict=True):
            output.set_shape((None, *shape.value))
        return tree.pack_sequence_as(self._structure, outputs)

    def _told_apart(self, answers: list[np.ndarray], outputs: list[np.ndarray]) -> list[np.ndarray]:
        """The outputs with probabilities no nearer to 0 and 1 than the answers' types can say.

        Warns, once for each, where many are 0 or 1: what logits they come from is lost.
        """
        found = list(outputs)
        for i, end in enumerate(self._ends.each[: len(outputs)]):
            if end.kind not in (SOFTMAX, SIGMOID) or end.step or not outputs[i].size:
                continue
            smallest, from_one = limits_of(str(answers[i].dtype))
            from_one = from_one if end.kind == SIGMOID else 0.0
            lost = np.mean((outputs[i] < smallest) | (1 - outputs[i] < from_one))
            if lost > _MOST_LOST and i not in self._ends.told:
                self._ends.told.add(i)
                warnings.warn(
                    f"{lost:.0%} of the probabilities in output {self.answers_with.names[i]!r} of "
                    f"`teacher` are 0{' or 1' if end.kind == SIGMOID else ''} in "
                    f"{answers[i].dtype}: their logits are lost, and with them what high "
                    "temperatures teach. Let it give logits (teacher_activation='linear' in "
                    "ek.distill)",
                    stacklevel=2,
                )
            found[i] = np.clip(outputs[i], np.float32(smallest), np.float32(1 - from_one))
        return found

    def _tried(self, like: keras.Model, outputs: Outputs | None) -> tuple[Any, Outputs]:
        """The structure of the answers, and what they are, told from a few."""
        found = possible_inputs(like)
        if not found:
            raise ValueError(
                f"student {like.name!r} does not say which inputs it takes: call it on data first"
            )
        inputs = found[0]
        if isinstance(inputs, (list, tuple)) and len(inputs) == 1:
            inputs = inputs[0]  # as it is fed
        try:
            with _predictions() as predicted:
                answers = self._function(some_samples(inputs, 2, np.zeros))
            structure = tree.map_structure(_shape, answers)
            told = outputs_from(tree.map_structure(np.asarray, answers), like=outputs)
        except Exception as error:
            raise ValueError(
                f"`teacher` fails on two samples of zeros: {type(error).__name__}: {error}; what "
                "takes other inputs than the student has to be wrapped: lambda x: …"
            ) from error
        if predicted and _pool_of_one():
            raise ValueError(
                "`teacher` calls `predict` of a Keras model, which waits for itself where "
                "TensorFlow has one thread: pass the model, or a function that calls it, "
                "lambda x: model(x).numpy()"
            )
        if any(told.doubtful) or any(end.step for end in told.ends):
            chance = np.random.default_rng(0).standard_normal
            with suppress(Exception):  # such samples may mean nothing to it
                answers = self._function(some_samples(inputs, ASKED, chance))
                told = outputs_from(answers, like=outputs)
        _warn_of_steps(told)
        return structure, told


def _warn_of_steps(told: Outputs) -> None:
    """Say that the probabilities of an integer file keep little of what soft targets are about."""
    for name, end in zip(told.names, told.ends, strict=True):
        if end.kind == SOFTMAX and end.step > _FINEST_STEP:
            warnings.warn(
                f"`teacher` gives output {name!r} in steps of {end.step:.2g}: probabilities below "
                f"{end.step / 2:.2g} are lost, and with them what high temperatures teach. Give "
                "the model itself, or its float file",
                stacklevel=2,
            )


@contextmanager
def _predictions() -> Iterator[list[str]]:
    """Within it the names of models whose `predict` is called are added to the list."""
    found, original = [], keras.Model.predict

    def noticed(model, *args, **kwargs):
        found.append(model.name)
        return original(model, *args, **kwargs)

    keras.Model.predict = noticed
    try:
        yield found
    finally:
        del keras.Model.predict  # it is inherited


def _pool_of_one() -> bool:
    """Whether TensorFlow runs one operation at a time, so that none can wait for another."""
    told = tf.config.threading.get_inter_op_parallelism_threads()
    told = told or int(os.environ.get("TF_NUM_INTEROP_THREADS") or 0)
    own = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (told or own) == 1


def _check_values(output: np.ndarray, end: Activation) -> None:
    if not np.isfinite(output).all():
        raise ValueError("`teacher` gives values that are not finite: NaN or infinity")
    if end.kind in (LINEAR, LOG_SOFTMAX) or not output.size:
        return
    inside = output.min() >= -_SLACK and output.max() <= 1 + _SLACK
    last = output if end.classes is None else np.asarray(end.classes.last(output))
    ones = end.kind != SOFTMAX or np.abs(last.sum(axis=-1) - 1).max() < _SLACK
    if not inside or not ones:
        raise ValueError(
            f"`teacher` gives no probabilities of a {end.kind}, but values from "
            f"{output.min():.3g} to {output.max():.3g}: teacher_activation='linear' in ek.distill "
            "takes them as logits"
        )


class _Ends:
    """What each output has been through, and of which was warned; nothing that Keras tracks."""

    def __init__(self, each: Sequence[Activation]):
        self.each = tuple(each)
        self.told: set[int] = set()


class _Shape:
    """The shape of one sample; a leaf, whatever the tree makes of tuples."""

    def __init__(self, value: tuple[int, ...]):
        self.value = value


def _shape(output) -> _Shape:
    output = np.asarray(output)
    if output.dtype.kind not in "fiub" or output.ndim == 0 or output.shape[0] != 2:
        raise ValueError(f"it gives shape {output.shape} of {output.dtype} for two samples")
    return _Shape(output.shape[1:])

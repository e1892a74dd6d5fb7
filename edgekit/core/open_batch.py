"""Tracing what asks for the size of the batch, `ops.shape(x)[0]`, which no trace knows."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from edgekit.core.graph import Graph, copy_operation, fill_in, give_unique_names

# Sizes that no layer has: one stands for the batch's in a first trace, and is found again by
# being a factor of whatever depends on it.
_PRIMES = (509, 521, 523, 541, 547, 557, 563, 569, 571, 577)


def asks_for_batch(graph: Graph) -> bool:
    """Whether an operation was given the size of the batch, which in the trace is None."""
    return any(
        None in value
        for call in graph.calls
        if not isinstance(call.operation, keras.layers.Layer)
        for value in _settings(call.operation).values()
        if isinstance(value, (list, tuple))
    )


def with_symbolic_batch(
    function: Callable, inputs: list[keras.KerasTensor]
) -> tuple[Callable, list[keras.KerasTensor]]:
    """A function that does the same with tensors of any batch size, and the inputs to trace it.

    Args:
        function: Takes tensors, returns tensors; it may ask for `ops.shape(x)[0]`.
        inputs: Symbolic tensors, of which some have an open first axis.

    Raises:
        NotImplementedError: What it computes depends on the batch's size in other ways than that
            tensors have as many rows.
    """
    sizes = {size for tensor in inputs for size in tensor.shape if size}
    size, other = [p for p in _PRIMES if all(n % p for n in sizes)][:2]
    counted, outputs, graph = _counted(function, inputs, size)
    _check_alike(graph, _counted(function, inputs, other)[-1], size, other)
    first = next(i for i, tensor in enumerate(inputs) if _is_open(tensor))

    def run(*tensors):
        values = {id(old): new for old, new in zip(counted, tensors, strict=True)}
        opened = _Opened(size, Rows()(tensors[first]))
        for call in graph.calls:
            made = tree.flatten(opened.call(call, *fill_in(call, values)))
            values |= {id(old): new for old, new in zip(call.outputs, made, strict=True)}
        return tree.map_structure(lambda old: values[id(old)], outputs)

    return run, inputs


def _counted(function, inputs, size):
    """The inputs with so many rows, what the function makes of them, and its graph."""
    counted = [_with_rows(tensor, size) for tensor in inputs]
    outputs = function(*counted)
    give_unique_names([t for t in tree.flatten(outputs) if isinstance(t, keras.KerasTensor)])
    return counted, outputs, Graph(keras.Function(counted, outputs))


def _check_alike(graph: Graph, other: Graph, size: int, other_size: int) -> None:
    """Raise where numbers come from the batch's size in other ways than as multiples of it."""
    if len(graph.calls) != len(other.calls):
        raise NotImplementedError("what it computes depends on the size of the batch")
    for call, twin in zip(graph.calls, other.calls, strict=True):
        for a, b in zip(_constants(call), _constants(twin), strict=True):
            if np.shape(a) == np.shape(b) and np.array_equal(a, b):
                continue
            if np.ndim(a) == 0 and isinstance(a, int) and a * other_size == b * size:
                continue
            if np.ndim(a) > 0 and np.shape(a)[0] * other_size == np.shape(b)[0] * size:
                continue
            raise NotImplementedError("a number depends on the size of the batch")


def _constants(call) -> list:
    values = [call.arguments.args, call.arguments.kwargs]
    if not isinstance(call.operation, keras.layers.Layer):
        values.append(list(_settings(call.operation).values()))
    found = []
    for value in tree.flatten(values):
        if hasattr(value, "shape") and not isinstance(value, keras.KerasTensor):
            found.append(ops.convert_to_numpy(value))
        elif isinstance(value, (bool, int, float)):
            found.append(value)
    return found


def _is_open(tensor) -> bool:
    return len(tensor.shape) > 0 and tensor.shape[0] is None


def _with_rows(tensor, size: int) -> keras.KerasTensor:
    if not _is_open(tensor):
        return tensor
    return keras.Input(batch_shape=(size, *tensor.shape[1:]), dtype=tensor.dtype)


class _Opened:
    """Does the calls of a trace with `size` rows with as many as there are.

    Args:
        size: The size that stands for the batch's.
        rows: The batch's size, a symbolic number.
    """

    def __init__(self, size: int, rows: keras.KerasTensor):
        self._size, self._rows = size, rows

    def call(self, call: Any, args: tuple, kwargs: dict):
        """The call's outputs for its arguments in the new graph."""
        args, kwargs = tree.map_structure(self._open_value, (args, kwargs))
        operation = call.operation
        if isinstance(operation, keras.layers.Layer):
            return operation(*args, **kwargs)
        new = copy_operation(operation)
        settings = _settings(new)
        if not any(self._counts(value) for value in tree.flatten(list(settings.values()))):
            return new(*args, **kwargs)
        name, source = type(operation).__name__, call.input_tensors[0]
        if name == "Reshape":
            new.newshape = self._open_shape(source.shape, operation.newshape)
            return new(*args, **kwargs)
        repeats = name in ("BroadcastTo", "Repeat", "Tile") and not self._counts(source.shape[0])
        if repeats and tuple(source.shape[-len(call.outputs[0].shape) + 1 :]) == tuple(
            call.outputs[0].shape[1:]
        ):
            return self._repeated(args[0], call.outputs[0].shape)
        raise NotImplementedError(f"{name} depends on the size of the batch")

    def _counts(self, value) -> bool:
        """Whether the number is a multiple of the batch's size."""
        number = isinstance(value, (int, np.integer)) and not isinstance(value, bool)
        return number and value > 0 and value % self._size == 0

    def _open_value(self, value):
        if isinstance(value, keras.KerasTensor):
            return value
        if isinstance(value, slice):
            value = [value.start, value.stop, value.step]
            if any(map(self._counts, value)):
                raise NotImplementedError("a slice depends on the size of the batch")
            return slice(*value)
        if self._counts(value):
            raise NotImplementedError("a number depends on the size of the batch")
        shape = tuple(getattr(value, "shape", ()))
        if not any(map(self._counts, shape)):
            return value
        array = ops.convert_to_numpy(value)
        if array.ndim == 1 and np.array_equal(array, np.arange(shape[0])):
            return RowNumbers(shape[0] // self._size, str(array.dtype))(self._rows)
        parts = array.reshape(self._size, -1)
        if not self._counts(shape[0]) or (parts != parts[0]).any():
            raise NotImplementedError("a tensor it makes depends on the size of the batch")
        return self._repeated(parts[0].reshape(-1, *shape[1:]), shape)

    def _open_shape(self, old, new) -> tuple[int, ...]:
        """The new shape with the batch as what is left over."""
        if -1 in new:
            known = math.prod(n for n in new if n != -1)
            new = [math.prod(old) // known if n == -1 else n for n in new]
        if sum(map(self._counts, new)) != 1:
            raise NotImplementedError("a reshape depends twice on the size of the batch")
        return tuple(-1 if self._counts(n) else n for n in new)

    def _repeated(self, value, shape):
        parts = shape[0] // self._size
        value = ops.reshape(value, (-1, *shape[1:]))
        if value.shape[0] not in (1, parts):
            raise NotImplementedError("what is repeated depends on the size of the batch")
        return PerSample(parts)(value, self._rows)


def _settings(operation: keras.Operation) -> dict[str, Any]:
    return {k: v for k, v in vars(operation).items() if not k.startswith("_") and k != "name"}


class Rows(keras.Operation):
    """How many rows a tensor has."""

    def call(self, x):
        return ops.shape(x)[0]

    def compute_output_spec(self, x):
        return keras.KerasTensor((), "int32")


class RowNumbers(keras.Operation):
    """0, 1, … up to a multiple of a number."""

    def __init__(self, parts: int, dtype: str, *, name=None):
        super().__init__(name=name)
        self.parts, self.dtype = parts, dtype

    def call(self, rows):
        return ops.arange(rows * self.parts, dtype=self.dtype)

    def compute_output_spec(self, rows):
        return keras.KerasTensor((None,), self.dtype)


class PerSample(keras.Operation):
    """The same rows for each sample of a batch."""

    def __init__(self, parts: int, *, name=None):
        super().__init__(name=name)
        self.parts = parts

    def call(self, x, rows):
        shape = tuple(x.shape[1:])
        if x.shape[0] == 1:
            return ops.broadcast_to(x, (rows * self.parts, *shape))
        return ops.tile(x, (rows, *[1] * len(shape)))

    def compute_output_spec(self, x, rows):
        return keras.KerasTensor((None, *x.shape[1:]), x.dtype)

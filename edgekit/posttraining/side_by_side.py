"""Running a model twice over the same samples, as it is and as it is being rewritten."""

import warnings
from collections import Counter
from collections.abc import Callable, Mapping

import keras
import numpy as np
from keras import ops, tree

from edgekit.core.graph import Graph, fill_in, source_name
from edgekit.core.kernel_layout import has_kernel
from edgekit.posttraining.plain_layers import has_plain_kernel

_BATCH = 64


class SideBySide:
    """Runs a graph call by call on two sets of values.

    Args:
        treat: Called as `treat(layer, plain, rewritten)` for each convolution or Dense layer
            that is called once, with its inputs on both sides; gives its outputs.
    """

    def __init__(self, treat: Callable):
        self.treat = treat
        self._left: dict[int, str] = {}

    def treat_all(self, graph: Graph, arrays: list, caller: str) -> None:
        """Run the graph on samples, and say which layers could not be treated.

        Args:
            graph: Of the model that is rewritten.
            arrays: Of its inputs.
            caller: What the warning calls itself.
        """
        self.run(graph, arrays, arrays)
        if self._left:
            names = list(self._left.values())
            shown = ", ".join(map(repr, names[:3])) + (" and others" if len(names) > 3 else "")
            warnings.warn(
                f"{caller} leaves {shown} as they are ({len(names)} in all): only layers that "
                "compute as Keras's own and that the model itself calls, once, are treated",
                stacklevel=3,
            )

    def run(self, graph: Graph, plain: list, rewritten: list) -> tuple[list, list]:
        """The graph's outputs on both sides, for arrays of its inputs."""
        inputs = zip(graph.inputs, plain, rewritten, strict=True)
        values = {id(tensor): (one, two) for tensor, one, two in inputs}
        uses = Counter(id(call.operation) for call in graph.calls)
        wanted = {id(tensor) for tensor in graph.outputs}
        readers = Counter(id(t) for call in graph.calls for t in call.input_tensors)
        for call in graph.calls:
            found = self._call(call, values, uses[id(call.operation)] == 1)
            for tensor, pair in zip(call.outputs, zip(*found, strict=True), strict=True):
                values[id(tensor)] = pair
            for tensor in call.input_tensors:
                readers[id(tensor)] -= 1
                if not readers[id(tensor)] and id(tensor) not in wanted:
                    values.pop(id(tensor), None)  # many samples of many layers fill memory
        outputs = [values[id(tensor)] for tensor in graph.outputs]
        return [pair[0] for pair in outputs], [pair[1] for pair in outputs]

    def _call(self, call, values, once: bool) -> tuple[list, list]:
        layer = call.operation
        sides = [[values[id(t)][side] for t in call.input_tensors] for side in (0, 1)]
        if once and isinstance(layer, keras.Model):
            return self.run(Graph(layer), *sides)
        if once and has_plain_kernel(layer):
            one, two = self.treat(layer, sides[0][0], sides[1][0])
            return [one], [two]
        if isinstance(layer, keras.layers.Layer):
            left = [each for each in (layer, *layer._flatten_layers()) if has_kernel(each)]
            self._left.update({id(each): each.name for each in left})
        return tuple(_in_batches(call, tensors) for tensors in sides)


def apply(layer, inputs: np.ndarray, mapping=()) -> np.ndarray:
    """The layer's outputs, some samples at a time.

    Args:
        layer: A layer of one input.
        inputs: `(samples, ...)`.
        mapping: `[(variable, value to compute with)]`.
    """
    parts = []
    for start in range(0, len(inputs), _BATCH):
        batch = ops.convert_to_tensor(inputs[start : start + _BATCH])
        with keras.StatelessScope(state_mapping=mapping):
            parts.append(np.asarray(layer(batch)))
    return np.concatenate(parts)


def _in_batches(call, tensors: list[np.ndarray]) -> list[np.ndarray]:
    count = max((len(t) for t in tensors if np.ndim(t)), default=1)
    split = all(np.ndim(t) and len(t) == count for t in tensors)
    step, parts = _BATCH if split else count, []
    for start in range(0, count, step):
        batch = [t[start : start + step] if split else t for t in tensors]
        filled = {id(t): v for t, v in zip(call.input_tensors, batch, strict=True)}
        args, kwargs = fill_in(call, {k: ops.convert_to_tensor(v) for k, v in filled.items()})
        if "training" in kwargs:
            kwargs["training"] = False
        parts.append([np.asarray(t) for t in tree.flatten(call.operation(*args, **kwargs))])
    return [np.concatenate(p) if split else p[0] for p in zip(*parts, strict=True)]


def _by_input(data: Mapping, graph: Graph) -> list:
    """Arrays by name in the order of the graph's inputs."""
    given = graph.model._inputs_struct
    names = list(map(source_name, graph.inputs))
    if isinstance(given, dict):
        names = keras.tree.flatten({name: name for name in given})
    if set(names) != set(data):
        raise ValueError(
            f"`data` must have the names of the model's inputs, {', '.join(map(repr, names))}. "
            f"Received: {', '.join(map(repr, data))}"
        )
    return [data[name] for name in names]


def samples_of(data, graph: Graph) -> list[np.ndarray]:
    """`data`, an array or several as a list or by name, as one for each input of the graph.

    Raises:
        ValueError: Empty, NaN or infinite samples, wrong shapes or counts.
    """
    if isinstance(data, Mapping):
        data = _by_input(data, graph)
    arrays = list(data) if isinstance(data, (list, tuple)) else [data]
    shapes = [tuple(tensor.shape) for tensor in graph.inputs]
    if len(arrays) != len(shapes):
        raise ValueError(
            f"`data` must hold an array for each of the model's {len(shapes)} inputs. Received: "
            f"{len(arrays)}"
        )
    for array, shape, tensor in zip(arrays, shapes, graph.inputs, strict=True):
        found = np.shape(array)
        fits = len(found) == len(shape) and all(
            want in (None, have) for want, have in zip(shape[1:], found[1:], strict=True)
        )
        if not fits or not found[0]:
            raise ValueError(f"`data` must have shape {shape} with samples. Received: {found}")
        if np.issubdtype(np.asarray(array).dtype, np.floating) and not np.isfinite(array).all():
            raise ValueError(f"`data` for {tensor.name!r} holds NaN or infinite values")
    pairs = zip(arrays, graph.inputs, strict=True)
    return [
        np.asarray(array).astype(keras.backend.standardize_dtype(t.dtype)) for array, t in pairs
    ]

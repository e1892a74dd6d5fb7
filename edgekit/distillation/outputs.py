"""What a model answers with: names, shapes and activations of its outputs."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from edgekit.core.graph import Graph
from edgekit.core.layer_calls import possible_inputs
from edgekit.distillation.output_activation import (
    LINEAR,
    SOFTMAX,
    activation_in_graph,
    between_zero_and_one,
    sums_to_one,
)

# Samples that a model is asked about where its graph does not say what it ends in.
ASKED = 8


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model, in flat order.

    Attributes:
        names: As in dicts of labels; of nested outputs their paths, of a single one `"output"`
            where it has no name.
        shapes: `(None, …)` of each, where sizes may be open.
        activations: What each has been through: `"softmax"`, `"sigmoid"` or `"linear"`.
        doubtful: Whether each may as well have been through a sigmoid: all that is seen of it are
            values between 0 and 1.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    activations: tuple[str, ...]
    doubtful: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.names)

    def places_in(self, other: "Outputs") -> list[int] | None:
        """Where the other has each of these, by name; None where names do not say."""
        same = len(set(self.names)) == len(self) and sorted(self.names) == sorted(other.names)
        return [other.names.index(name) for name in self.names] if same else None

    def known_as(self, activations) -> "Outputs":
        """These with activations that somebody has told."""
        return replace(self, activations=tuple(activations), doubtful=(False,) * len(self))


def outputs_of(model: keras.Model) -> Outputs:
    """What a model answers with, read from its graph, or seen where that shows nothing.

    A subclassed model is asked about a few samples: values from 0 that sum to 1 are those of a
    softmax. One that cannot be asked counts as one linear output of open shape.

    Example:
        >>> outputs_of(keras.applications.MobileNetV2()).activations
        ('softmax',)

    Args:
        model: Built, of any kind.
    """
    told = getattr(model, "answers_with", None)  # ensembles and functions
    if told is not None:
        return told
    try:
        graph = Graph(model)
    except ValueError:
        seen = _seen(model)
        return Outputs(("output",), ((None,),), (LINEAR,), (False,)) if seen is None else seen
    return _read(model, graph)


def outputs_from(answers: Any, open_sizes: bool = False) -> Outputs:
    """Told from answers to some samples.

    Args:
        answers: Arrays `(samples, …)` in the structure that the model gives them.
        open_sizes: Whether sizes but the last may be others for other samples.
    """
    pairs = tree.flatten_with_path(answers)
    arrays = [_plain(np.asarray(array)) for _, array in pairs]
    inner = [array.shape[1:] for array in arrays]
    if open_sizes:
        inner = [(*(None,) * (len(sizes) - 1), *sizes[-1:]) for sizes in inner]
    kinds = [SOFTMAX if sums_to_one(array) else LINEAR for array in arrays]
    return Outputs(
        tuple(_name(path) for path, _ in pairs),
        tuple((None, *sizes) for sizes in inner),
        tuple(kinds),
        tuple(
            kind == LINEAR and between_zero_and_one(array)
            for kind, array in zip(kinds, arrays, strict=True)
        ),
    )


def some_samples(inputs: Any, count: int, values: Callable[[tuple], np.ndarray]) -> Any:
    """So many samples for each input, open sizes as 1; whole numbers are zeros.

    Args:
        inputs: Symbolic tensors, in any structure.
        count: Samples of each.
        values: Gives an array of a shape.
    """

    def some(tensor):
        shape = (count, *(size or 1 for size in tensor.shape[1:]))
        return (values(shape) if "float" in tensor.dtype else np.zeros(shape)).astype(tensor.dtype)

    return tree.map_structure(some, inputs)


def _read(model, graph: Graph) -> Outputs:
    makers = {id(tensor): call for call in graph.calls for tensor in call.outputs}
    kinds = [activation_in_graph(tensor, makers) for tensor in graph.outputs]
    doubtful = [False] * len(kinds)
    if LINEAR in kinds:
        seen = _seen(model)
        for place in range(len(kinds) if seen else 0):
            if kinds[place] == LINEAR:
                kinds[place] = seen.activations[place]
                ends_in = makers.get(id(graph.outputs[place]))
                doubtful[place] = seen.doubtful[place] and not _known(ends_in)
    return Outputs(
        _names_in(model, graph),
        tuple(tuple(tensor.shape) for tensor in graph.outputs),
        tuple(kinds),
        tuple(doubtful),
    )


def _known(call) -> bool:
    """Whether the operation is Keras's own, and no function of somebody else."""
    if call is None:
        return True
    kind = type(call.operation)
    return kind.__module__.startswith("keras.src.") and kind is not keras.layers.Lambda


def _names_in(model, graph: Graph) -> tuple[str, ...]:
    paths = [path for path, _ in tree.flatten_with_path(graph.model.output)]
    if any(len(path) > 1 or _has_keys(path) for path in paths):
        return tuple(map(_name, paths))
    return tuple(getattr(model, "output_names", None) or ["output"])


def _plain(array: np.ndarray) -> np.ndarray:
    return array.astype("float32") if array.dtype.name == "bfloat16" else array


def _name(path: tuple) -> str:
    named = [str(part) for part in path]
    return "/".join(named) if _has_keys(path) else "_".join(["output", *named])


def _has_keys(path: tuple) -> bool:
    """Whether it goes through a dict."""
    return any(not isinstance(part, int) for part in path)


def _seen(model) -> Outputs | None:
    chance = np.random.default_rng(0).standard_normal
    for inputs in possible_inputs(model):
        try:
            answers = model(some_samples(inputs, ASKED, chance), training=False)
            arrays = tree.map_structure(ops.convert_to_numpy, answers)
            wide_open = any(None in tensor.shape[1:] for tensor in tree.flatten(inputs))
            return outputs_from(arrays, wide_open)
        except Exception:  # it is the user's code, and the dtype may be a wrong guess
            continue
    return None

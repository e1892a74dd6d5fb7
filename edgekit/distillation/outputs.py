"""What a model answers with: names, shapes and activations of its outputs."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops, tree

from edgekit.core.graph import Graph
from edgekit.core.layer_calls import possible_inputs
from edgekit.distillation.class_axes import ClassAxes
from edgekit.distillation.endings import (
    LINEAR,
    SOFTMAX,
    Ending,
    ending_of,
    kinds_behind,
    may_be_bounded,
    may_be_normalized,
    watching,
)
from edgekit.distillation.output_activation import Activation
from edgekit.distillation.probabilities import between_zero_and_one, grid_step, sums_to_one

# Samples that a model is asked about where its graph does not say what it ends in.
ASKED = 8


@dataclass(frozen=True)
class Outputs:
    """The outputs of a model, in flat order.

    Attributes:
        names: As in dicts of labels; of nested outputs their paths, of a single one `"output"`
            where it has no name.
        shapes: `(None, …)` of each, where sizes may be open.
        ends: What each has been through.
        doubtful: Whether each may as well have been through a sigmoid: all that is seen of it are
            values between 0 and 1.
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int | None, ...], ...]
    ends: tuple[Activation, ...]
    doubtful: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def activations(self) -> tuple[str, ...]:
        """What each has been through: `"softmax"`, `"log_softmax"`, `"sigmoid"`, `"linear"`."""
        return tuple(end.kind for end in self.ends)

    def places_in(self, other: "Outputs") -> list[int | None]:
        """Where the other has each of these; None of those it has not.

        By name where both have the same, where one of the two has more outputs, or where the same
        name stands at other places; else in their order. Names that Keras gave, such as "dense_1",
        count only where all are the same.
        """
        clear = all(len(set(each.names)) == len(each) for each in (self, other))
        same = clear and sorted(self.names) == sorted(other.names)
        places = {name: place for place, name in enumerate(other.names) if same or _is_given(name)}
        found = [places.get(name) if clear else None for name in self.names]
        moved = any(place not in (None, at) for at, place in enumerate(found))
        if len(self) == len(other) and not moved:
            return list(range(len(self)))
        return found

    def known_as(self, activations) -> "Outputs":
        """These with activations that somebody has told; where the graph says the same, its own."""
        told = [
            end if end.kind == kind and not end.mixed else Activation(kind, step=end.step)
            for end, kind in zip(self.ends, activations, strict=True)
        ]
        return replace(self, ends=tuple(told), doubtful=(False,) * len(self))


def outputs_of(model: keras.Model) -> Outputs:
    """What a model answers with, read from what it computes, or seen where that shows nothing.

    It is traced once; of what is computed in a way that does not show, a few answers are looked at:
    values from 0 that sum to 1 are those of a softmax. A model that cannot be asked counts as one
    linear output of open shape.

    Example:
        >>> outputs_of(keras.applications.MobileNetV2()).activations
        ('softmax',)

    Args:
        model: Built, of any kind.
    """
    told = getattr(model, "answers_with", None)  # ensembles and functions
    if told is not None:
        return told
    traced = _traced(model)
    if traced is None:
        seen = _seen(model)
        return seen or Outputs(("output",), ((None,),), (Activation(LINEAR),), (False,))
    names, shapes, endings, kinds = traced
    ends = [_activation(ending) for ending in endings]
    doubtful = [False] * len(ends)
    unclear = [at for at, end in enumerate(endings) if not end and may_be_normalized(kinds[at])]
    seen = _seen(model) if unclear else None
    for place in unclear if seen else ():
        if seen.ends[place].kind == SOFTMAX:
            ends[place] = seen.ends[place]
        else:
            doubtful[place] = seen.doubtful[place] and may_be_bounded(kinds[place])
    return Outputs(names, shapes, tuple(ends), tuple(doubtful))


def outputs_from(answers: Any, open_sizes: bool = False, like: Outputs | None = None) -> Outputs:
    """Told from answers to some samples.

    Args:
        answers: Arrays `(samples, …)` in the structure that the model gives them.
        open_sizes: Whether sizes but the last may be others for other samples.
        like: Outputs whose classes may run as in these. Defaults to `None`: along the last axis.
    """
    pairs = tree.flatten_with_path(answers)
    arrays = [_plain(np.asarray(array)) for _, array in pairs]
    inner = [array.shape[1:] for array in arrays]
    if open_sizes:
        inner = [(*(None,) * (len(sizes) - 1), *sizes[-1:]) for sizes in inner]
    names = tuple(_name(path) for path, _ in pairs)
    shapes = tuple((None, *sizes) for sizes in inner)
    found = Outputs(names, shapes, (Activation(LINEAR),) * len(names), (False,) * len(names))
    places = [None] * len(names) if like is None else found.places_in(like)
    expected = [None if place is None else like.ends[place].classes for place in places]
    ends = tuple(map(_seen_in, arrays, expected))
    doubtful = tuple(
        end.kind == LINEAR and between_zero_and_one(array)
        for end, array in zip(ends, arrays, strict=True)
    )
    return replace(found, ends=ends, doubtful=doubtful)


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


def _traced(model) -> tuple[tuple, tuple, list[Ending | None], list[set[str]]] | None:
    """`(names, shapes, endings, kinds of operations)`; None if it cannot be traced."""
    for inputs in possible_inputs(model):
        for samples in (None, ASKED):
            specs = tree.map_structure(lambda t, n=samples: _spec(t, n), inputs)
            try:
                return _trace(model, specs)
            except Exception:  # it is the user's code, and dtype and batch may be wrong guesses
                continue
    return None


def _trace(model, specs):
    found: list = []

    def run(inputs):
        with watching() as computation:
            outputs = model(inputs, training=False)
        flat = tree.flatten(outputs)
        found[:] = [
            _names_in(model, outputs),
            tuple((None, *output.shape[1:]) for output in flat),
            [ending_of(output, computation) for output in flat],
            [kinds_behind(output, computation) for output in flat],
        ]
        found[2] = [ending and replace(ending, logits=None) for ending in found[2]]

    try:
        tf.function(run, autograph=False).get_concrete_function(specs)
    finally:
        model._clear_losses()  # what layers added while they were traced is nobody's loss
    return tuple(found)


def _spec(tensor, samples: int | None):
    return tf.TensorSpec((samples, *tensor.shape[1:]), tensor.dtype)


def _activation(ending: Ending | None) -> Activation:
    if ending is None:
        return Activation(LINEAR)
    return Activation(ending.kind, ending.classes, mixed=ending.kind == LINEAR)


def _seen_in(array: np.ndarray, expected: ClassAxes | None) -> Activation:
    step = grid_step(array)
    if expected is not None and sums_to_one(_last(expected, array)):
        return Activation(SOFTMAX, expected, step)
    return Activation(SOFTMAX if sums_to_one(array) else LINEAR, step=step)


def _last(classes: ClassAxes, array: np.ndarray) -> np.ndarray:
    if len(classes.factors) != array.ndim:
        return array
    try:
        return np.asarray(classes.last(array))
    except ValueError:  # of another size
        return array


def _names_in(model, outputs) -> tuple[str, ...]:
    paths = [path for path, _ in tree.flatten_with_path(outputs)]
    if any(len(path) > 1 or _has_keys(path) for path in paths):
        return tuple(map(_name, paths))
    try:
        named = Graph(model) and getattr(model, "output_names", None)
    except ValueError:
        named = None
    return tuple(named or map(_name, paths))


def _is_given(name: str) -> bool:
    """Whether somebody gave an output this name, and not Keras or its place."""
    start = re.sub(r"(_\d+)+$", "", name).replace("_", "").lower()
    kinds = {kind.lower() for module in (keras.layers, keras.ops) for kind in dir(module)}
    return start not in kinds | {"output"}


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

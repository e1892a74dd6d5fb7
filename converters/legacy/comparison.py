"""Whether a migrated model answers as the old one does."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
from keras import tree

from converters.legacy.structures import unwrapped

SAMPLES = 4
# Where a model leaves a dimension other than the batch open.
_OPEN = 32
# Other integers are below it.
_MOST = 2


@dataclass(frozen=True)
class Difference:
    """How far two models are apart on the same random samples.

    Attributes:
        absolute: The largest difference of an output's elements.
        relative: The same over the largest element of that sample's output.
        samples: Samples compared.
    """

    absolute: float
    relative: float
    samples: int


def random_inputs(model) -> list[np.ndarray]:
    """Seeded samples for each input of a model of tf_keras.

    Half of them are normal values, half are like the pixels of images; where the model looks up
    words, their numbers; where it masks, sequences end early.

    Raises:
        ValueError: An input holds text.
    """
    random = np.random.default_rng(0)
    layers = list(model._flatten_layers())
    embeddings = _embeddings(model)
    masked = {layer.mask_value for layer in layers if type(layer).__name__ == "Masking"}
    inputs = []
    for tensor in model.inputs:
        batch, *rest = tensor.shape
        shape = (batch or SAMPLES, *(size or _OPEN for size in rest))
        dtype = tensor.dtype.name
        if dtype == "string":
            raise ValueError(f"input {tensor.name!r} holds text")
        if id(tensor) in embeddings:
            words, zero = embeddings[id(tensor)]
            values = random.integers(0, words, shape)
            if zero and len(shape) > 1:
                values[: shape[0] // 2, shape[1] // 2 :] = 0
        elif dtype == "uint8":
            values = random.integers(0, 256, shape)
        elif dtype == "bool" or dtype.startswith(("int", "uint")):
            values = random.integers(0, _MOST, shape)
        else:
            values = random.standard_normal(shape)
            values[1::2] = random.uniform(0, 255, values[1::2].shape)
            if len(shape) > 2:
                for value in masked:
                    values[: shape[0] // 2, shape[1] // 2 :] = value
        inputs.append(values.astype(dtype))
    return inputs


def _embeddings(model) -> dict[int, tuple[int, bool]]:
    """`{id(input): (words, whether zero is masked)}` for inputs that embeddings read."""
    found: dict[int, tuple[int, bool]] = {}
    if type(model).__name__ == "Sequential":
        first = next((x for x in model.layers if type(x).__name__ != "InputLayer"), None)
        if type(first).__name__ == "Embedding":
            found[id(model.inputs[0])] = (first.input_dim, first.mask_zero)
        return found
    for nodes in model._nodes_by_depth.values():
        for node in nodes:
            if type(node.layer).__name__ == "Embedding":
                for tensor in node.keras_inputs:
                    words, zero = found.get(id(tensor), (node.layer.input_dim, False))
                    words = min(words, node.layer.input_dim)
                    found[id(tensor)] = (words, zero or node.layer.mask_zero)
    return found


@contextmanager
def states_kept(*models) -> Iterator[Callable[[], None]]:
    """Gives a function that clears what recurrent layers remember; theirs is back afterwards."""
    layers = [
        layer
        for model in models
        for layer in model._flatten_layers()
        if getattr(layer, "stateful", False) and getattr(layer, "states", None) is not None
    ]
    kept = [[np.asarray(state) for state in tree.flatten(layer.states)] for layer in layers]

    def clear():
        for layer in layers:
            _set_states(layer, None)

    try:
        yield clear
    finally:
        for layer, states in zip(layers, kept, strict=True):
            _set_states(layer, states)


def _set_states(layer, states: list | None) -> None:
    for number, state in enumerate(tree.flatten(layer.states)):
        if state is not None:
            state.assign(np.zeros(state.shape) if states is None else states[number])


def says_little(outputs: list[np.ndarray]) -> str | None:
    """Why answers that agree would prove nothing; None where they do."""
    for output in outputs:
        if not output.size:
            return "an output is empty"
        if output.dtype.kind not in "fc":
            continue
        if np.isfinite(output).mean() < 0.5:
            return "most outputs are not finite"
        if len(output) > 1 and np.ptp(output, axis=0).max() == 0:
            return "the outputs are the same for all samples"
    return None


def answers(model, inputs: list[np.ndarray]) -> list[np.ndarray]:
    """What a model of either kind says, an array per output."""
    by_tensor = {id(tensor): x for tensor, x in zip(model.inputs, inputs, strict=True)}
    one = any(cls.__name__ == "Sequential" for cls in type(model).__mro__)
    structure = model.inputs[0] if one else unwrapped(model.input)
    found = model(
        tree.map_structure(lambda tensor: by_tensor[id(tensor)], structure), training=False
    )
    if isinstance(found, dict):  # the two need not order them in the same way
        found = [found[key] for key in sorted(found)]
    return [np.asarray(output) for output in tree.flatten(found)]


def first_to_differ(pairs: list[tuple], old, new, inputs, tolerance: float) -> str | None:
    """The name of the first layer whose outputs differ by more than `tolerance`, relatively."""
    import tf_keras

    counterparts = {id(theirs): ours for theirs, ours in pairs}
    for layer in old.layers:
        ours = counterparts.get(id(layer))
        if ours is None or len(layer._inbound_nodes) != 1:
            continue
        one = tf_keras.Model(old.inputs, layer.output)
        other = keras.Model(new.inputs, ours.output)
        found = distance(answers(one, inputs), answers(other, inputs), len(inputs[0]))
        if not found.relative <= tolerance:
            return f"{type(layer).__name__} {layer.name!r}"
    return None


def distance(theirs: list, ours: list, samples: int) -> Difference:
    """How far answers are apart, output by output."""
    absolute = relative = 0.0
    for one, other in zip(theirs, ours, strict=True):
        if one.shape != other.shape:
            return Difference(np.inf, np.inf, samples)
        if one.dtype.kind in "OSU":
            differs = float(np.any(one != other))
            absolute, relative = max(absolute, differs), max(relative, differs)
            continue
        one, other = one.astype("float64"), other.astype("float64")
        same = (one == other) | (np.isnan(one) & np.isnan(other))
        with np.errstate(invalid="ignore"):  # of infinite ones
            apart = np.where(same, 0.0, np.abs(one - other))
        if np.isnan(apart).any():
            return Difference(np.inf, np.inf, samples)
        absolute = max(absolute, float(apart.max(initial=0)))
        # Sample by sample: large ones must not hide small ones.
        parts = zip(np.atleast_1d(apart), np.atleast_1d(one), strict=True)
        for found, values in parts:
            size = np.max(np.abs(values), initial=0, where=np.isfinite(values))
            found = float(np.max(found, initial=0))
            relative = max(relative, found / float(size) if size else found)
    return Difference(absolute, relative, samples)

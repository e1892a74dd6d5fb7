"""Whether a migrated model answers as the old one does."""

from dataclasses import dataclass

import keras
import numpy as np
from keras import tree

from converters.legacy.structures import unwrapped

SAMPLES = 4
# Where a model leaves a dimension other than the batch open.
_OPEN = 32
# An integer is below it, where no Embedding says how many there are.
_MOST = 2


@dataclass(frozen=True)
class Difference:
    """How far two models are apart on the same random samples.

    Attributes:
        absolute: The largest difference of an output's elements.
        relative: The same over the largest output there is.
        samples: Samples compared.
    """

    absolute: float
    relative: float
    samples: int


def random_inputs(model) -> list[np.ndarray]:
    """Seeded samples for each input of a model of tf_keras: normal values, or small integers.

    Raises:
        ValueError: An input holds text.
    """
    random = np.random.default_rng(0)
    layers = list(model._flatten_layers())
    most = min((x.input_dim for x in layers if hasattr(x, "input_dim")), default=_MOST)
    inputs = []
    for tensor in model.inputs:
        batch, *rest = tensor.shape
        shape = (batch or SAMPLES, *(size or _OPEN for size in rest))
        dtype = tensor.dtype.name
        if dtype == "string":
            raise ValueError(f"input {tensor.name!r} holds text")
        if dtype.startswith(("int", "uint")):
            inputs.append(random.integers(0, most, shape).astype(dtype))
        elif dtype == "bool":
            inputs.append(random.integers(0, 2, shape).astype(bool))
        else:
            inputs.append(random.standard_normal(shape).astype(dtype))
            if any(type(layer).__name__ == "Masking" for layer in layers) and len(shape) > 2:
                inputs[-1][: shape[0] // 2, shape[1] // 2 :] = 0  # where sequences end
    return inputs


def difference(old, new: keras.Model, inputs: list[np.ndarray]) -> Difference:
    """How far `new` is from `old` on `inputs`.

    Args:
        old: A model of tf_keras.
        new: Its counterpart.
        inputs: One array per input, in the models' order.
    """
    return _distance(answers(old, inputs), answers(new, inputs), len(inputs[0]))


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
        distance = _distance(answers(one, inputs), answers(other, inputs), len(inputs[0]))
        if not distance.relative <= tolerance:
            return f"{type(layer).__name__} {layer.name!r}"
    return None


def _distance(theirs, ours, samples: int) -> Difference:
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
        found = float(np.max(np.where(same, 0, np.abs(one - other)), initial=0))
        size = float(np.max(np.abs(one), initial=0, where=np.isfinite(one)))
        absolute = max(absolute, found) if not np.isnan(found) else np.inf
        relative = max(relative, found / size if size else found)
        if np.isnan(found):
            relative = np.inf
    return Difference(absolute, relative, samples)

"""Which tensor of a file is which rounding of the quantization-aware model it was made from."""

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import keras
import numpy as np
from keras import tree

from converters.runner import Tensor
from edgekit.core.call_hooks import hooked
from edgekit.core.selection import all_layers
from edgekit.quantization import FakeQuantize

# What the converter names the ops that round, or that it has moved behind one that does.
_ROUNDS = re.compile(r"(Reshape|FakeQuant)")
# Sorted, values in another order differ by less than that share of how they differ unsorted.
_SHARE_MOVED = 1e-3
_SUFFIX = re.compile(r"_(\d+)$")


@dataclass(frozen=True)
class Rounded:
    """What one call of a rounding gave.

    Args:
        path: Names of the layers it was called in, outermost first, without the model's own, and
            that of the rounding.
        call: How often it had been called before.
        values: `(samples, ...)`.
        step: Of the grid they are on. Defaults to `0.0`: unknown.
        prescribed: Whether the grid is the kernel's, and so that of many tensors. Defaults to
            `False`: it was learned, and tells the tensor.
    """

    path: tuple[str, ...]
    call: int
    values: np.ndarray
    step: float = 0.0
    prescribed: bool = False

    @property
    def name(self) -> str:
        """The path, and which call it was, in words."""
        path = "/".join(self.path)
        return f"{path}, call {self.call + 1}" if self.call else path


def rounded_values(model: keras.Model, inputs) -> list[Rounded]:
    """What every rounding of a model gives, inside nested models and wrappers too, call by call.

    Args:
        model: A quantization-aware model.
        inputs: As the model takes them.
    """
    with _recording(model) as found:
        model(inputs, training=False)
    return found


@contextmanager
def _recording(model: keras.Model) -> Iterator[list[Rounded]]:
    found: list[Rounded] = []
    inside: list[str] = []
    calls: dict[tuple[str, ...], int] = {}

    def wrap(layer, call):
        def watched(*args, **kwargs):
            inside.append(layer.name)
            try:
                outputs = call(*args, **kwargs)
            finally:
                path = tuple(inside)
                inside.pop()
            if isinstance(layer, FakeQuantize):
                count = calls[path] = calls.get(path, -1) + 1
                values = np.asarray(keras.ops.convert_to_numpy(outputs))
                prescribed = layer.fixed_range is not None
                found.append(Rounded(path, count, values, float(layer.step()), prescribed))
            return outputs

        return watched

    with hooked(all_layers(model), wrap):
        yield found


def matched(roundings: Iterable[Rounded], tensors: Mapping[str, np.ndarray]) -> list[str | None]:
    """For each rounding the name of the tensor it became; None where no name tells.

    The converter names a tensor by the scopes it was computed in, and each scope by its layer with
    a number behind it where the name is taken: `encoder_1/conv_range_2/FakeQuant` may be of
    `encoder/conv_range`, called again. Every rounding has one tensor, and the other way round.

    Args:
        roundings: From `rounded_values`.
        tensors: `{name: values}` of the file.
    """
    roundings = list(roundings)
    scopes = {name: list(_scopes(name)) for name in tensors}
    open_calls: dict[int, list[str]] = {}
    for i, rounding in enumerate(roundings):
        open_calls[i] = [
            name
            for name, paths in scopes.items()
            if tensors[name].size == rounding.values.size
            and any(_fits(rounding.path, path) for path in paths)
        ]
    _keep_deepest(open_calls, roundings)
    found: list[str | None] = [None] * len(roundings)
    for i, name in _of_fewer_tensors(open_calls, roundings, tensors, scopes).items():
        found[i] = name
        del open_calls[i]
    while open_calls:
        chosen, name = _surest(open_calls, roundings, tensors, scopes)
        del open_calls[chosen]
        found[chosen] = name
        for i, names in open_calls.items():
            # Calls that compute the same are one tensor in the file.
            same = len(names) == 1 and _same(roundings[i], roundings[chosen])
            if name in names and not same:
                names.remove(name)
    return [
        None if name is None or _in_other_order(rounding.values, tensors[name]) else name
        for rounding, name in zip(roundings, found, strict=True)
    ]


def _of_fewer_tensors(open_calls, roundings, tensors, scopes) -> dict[int, str | None]:
    """The tensors of calls of which the file has not all, by values; none where it has them.

    What the first steps of a loop compute from states of zeros is a constant in the file, so that
    the tensors are those of later calls, in their order.
    """
    groups: dict[tuple[str, ...], list[int]] = {}
    for i in open_calls:
        groups.setdefault(roundings[i].path, []).append(i)
    wanted = Counter(name for calls in groups.values() for name in open_calls[calls[0]])
    found: dict[int, str | None] = {}
    for calls in groups.values():
        names = open_calls[calls[0]]
        alike = all(open_calls[i] == names for i in calls)
        if not 1 < len(names) < len(calls) or not alike or any(wanted[n] > 1 for n in names):
            continue
        names = sorted(names, key=lambda name: _numbers(scopes[name][0]))
        distances = [[_distance(roundings[i], tensors[name]) for name in names] for i in calls]
        chosen = dict(zip(_nearest_in_order(np.array(distances)), names, strict=True))
        found |= {i: chosen.get(place) for place, i in enumerate(calls)}
    return found


def _nearest_in_order(distances: np.ndarray) -> list[int]:
    """For each column a row, in rising order, such that the sum of the distances is least."""
    rows, columns = distances.shape
    least = np.full((rows + 1, columns + 1), np.inf)
    least[:, 0] = 0.0
    for row in range(rows):
        taken = least[row, :-1] + distances[row]
        least[row + 1, 1:] = np.minimum(least[row, 1:], taken)
    chosen, column = [], columns
    for row in range(rows, 0, -1):
        if column and least[row, column] < least[row - 1, column]:
            chosen.append(row - 1)
            column -= 1
    return chosen[::-1]


def _same(one: Rounded, other: Rounded) -> bool:
    alike = one.path == other.path and one.values.shape == other.values.shape
    return alike and np.allclose(one.values, other.values)


def _in_other_order(expected: np.ndarray, values: np.ndarray) -> bool:
    """Whether they are the same values in another order: the tensor is a transposed one."""
    expected, values = (np.ravel(each).astype("float64") for each in (expected, values))
    apart = np.abs(expected - values).mean()
    return np.abs(np.sort(expected) - np.sort(values)).mean() < _SHARE_MOVED * apart


def matched_by_grid(
    roundings: list[Rounded],
    names: Iterable[str | None],
    tensors: Mapping[str, Tensor],
) -> list[str | None]:
    """The names from `matched`, and where these do not tell, those of tensors on the same grid.

    The converter moves a rounding behind the reshaping or transposition that follows it, which
    gives the tensor its name. What the op before it computes is on the grid of the rounding too.

    Args:
        roundings: From `rounded_values`.
        names: For each the name found, or None.
        tensors: `{name: tensor}` of the file.
    """
    found = [
        name if name is not None and not _transposed(rounding, tensors[name]) else None
        for rounding, name in zip(roundings, names, strict=True)
    ]
    taken = set(found)
    for i, rounding in enumerate(roundings):
        if found[i] is not None or not rounding.step:
            continue
        distances = {
            name: _distance(rounding, tensor.values)
            for name, tensor in tensors.items()
            if name not in taken and _on_grid_of(rounding, tensor)
        }
        # Of several, as a tensor and what it is reshaped to, the first of those that are nearest.
        nearest = min(distances, key=distances.__getitem__, default=None)
        if nearest is None:
            continue
        if not rounding.prescribed or _is_about(rounding, tensors[nearest].values):
            found[i] = nearest
    return found


def _distance(rounding: Rounded, values: np.ndarray) -> float:
    return float(np.mean(np.abs(values.ravel() - rounding.values.ravel())))


def _is_about(rounding: Rounded, values: np.ndarray) -> bool:
    """Whether values are far nearer place by place than to those of the places beside.

    What a loop computes in other steps is near too.
    """
    distance, beside = (_distance(rounding, np.roll(values.ravel(), by)) for by in (0, 1))
    return distance < max(2 * rounding.step, beside / 16)


def _on_grid_of(rounding: Rounded, tensor: Tensor) -> bool:
    same_size = tensor.values.size == rounding.values.size
    return (
        same_size and tensor.scale is not None and np.isclose(tensor.scale, rounding.step, 1e-4, 0)
    )


def _transposed(rounding: Rounded, tensor: Tensor) -> bool:
    """Whether a tensor has the axes of a rounding in another order."""
    sizes = [[n for n in values.shape if n != 1] for values in (rounding.values, tensor.values)]
    return sizes[0] != sizes[1] and sorted(sizes[0]) == sorted(sizes[1])


def _surest(open_calls, roundings, tensors, scopes) -> tuple[int, str | None]:
    """The call whose tensor is known best, and that tensor."""
    single = [i for i, names in open_calls.items() if len(names) == 1]
    if single:  # where several want the same one, whose values it has
        rivals = [i for i in single if open_calls[i] == open_calls[single[0]]]
        chosen = min(rivals, key=lambda i: _distance(roundings[i], tensors[open_calls[i][0]]))
        return chosen, open_calls[chosen][0]
    first = min(open_calls)  # calls of one rounding are numbered in their order
    names = sorted(open_calls[first], key=lambda name: _numbers(scopes[name][0]))
    return first, names[0] if names else None


def _keep_deepest(open_calls: dict[int, list[str]], roundings: list[Rounded]) -> None:
    """A tensor is of the roundings with the longest path that fits it."""
    depth: dict[str, int] = {}
    for i, names in open_calls.items():
        for name in names:
            depth[name] = max(depth.get(name, 0), len(roundings[i].path))
    for i, names in open_calls.items():
        names[:] = [name for name in names if depth[name] == len(roundings[i].path)]


def _scopes(name: str) -> Iterator[tuple[str, ...]]:
    """The scopes that a tensor's name tells of; ops that became one are joined in it."""
    for part in name.split(";"):
        *path, op = part.split("/")
        if path and _ROUNDS.match(op):
            yield tuple(path)


def _fits(path: tuple[str, ...], scopes: tuple[str, ...]) -> bool:
    """Whether the innermost scopes are those of the path, each with a number or without."""
    if len(scopes) < len(path):
        return False
    return all(
        scope == name or (scope.startswith(f"{name}_") and scope[len(name) + 1 :].isdigit())
        for name, scope in zip(path, scopes[-len(path) :], strict=True)
    )


def _numbers(scopes: tuple[str, ...]) -> tuple[int, ...]:
    """The numbers behind the scopes' names, 0 for none."""
    found = (_SUFFIX.search(scope) for scope in scopes)
    return tuple(int(match.group(1)) if match else 0 for match in found)


def inputs_of(model: keras.Model, arrays: list[np.ndarray]):
    """The arrays, in the order of `model.inputs`, as the model takes them: alone or by name."""
    if isinstance(model, keras.Sequential):
        return arrays[0]
    return tree.pack_sequence_as(model.input, arrays)

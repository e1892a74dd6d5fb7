"""How samples go into a model: in batches of the size it has, or all in one run."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from converters.model_info import ModelInfo, TensorInfo


@dataclass(frozen=True)
class Feeding:
    """The shapes that a model's inputs take, and what of them one run takes.

    Attributes:
        shapes: `{input name: shape}`, None for sizes that may be any.
        step: Samples in one run; None where the inputs have no batch in common, so that there is
            one run, of the arrays as they are.
    """

    shapes: Mapping[str, tuple[int | None, ...]]
    step: int | None

    def count(self, arrays: Mapping[str, np.ndarray]) -> int:
        """Samples in arrays that fit; 1 where they are one run."""
        sides = [len(a) for name, a in arrays.items() if self.shapes[name]]
        return sides[0] if self.step and sides else 1

    def runs(self, arrays: Mapping[str, np.ndarray]) -> Iterator[dict[str, np.ndarray]]:
        """The arrays of one run after another; a single number goes into each."""
        if self.step is None:
            yield dict(arrays)
            return
        for start in range(0, self.count(arrays), self.step):
            yield {
                name: array[start : start + self.step] if self.shapes[name] else array
                for name, array in arrays.items()
            }

    def joined(self, parts: list[np.ndarray]) -> np.ndarray:
        """What the runs gave for a tensor, as one array: along the first axis, where it has one."""
        if self.step is None:
            return parts[0]
        return np.concatenate([np.atleast_1d(part) for part in parts])


def feeding(model: ModelInfo) -> Feeding:
    """How samples go into a model.

    The first sizes of all inputs are a batch if they agree. Where they are open, that is so only
    if the outputs have open first sizes too, and no open size more than the inputs have: what
    compares all with all, or has a sound's length there, runs once.
    """
    shapes = {name: _any_where_open(tensor) for name, tensor in model.inputs.items()}
    ranked = [tensor for tensor in model.inputs.values() if tensor.shape]
    firsts = {(tensor.shape[0], tensor.open_shape[0]) for tensor in ranked}
    if len(firsts) != 1:
        return Feeding(shapes, None)
    ((step, first),) = firsts
    if first == -1 and not _batched(model, ranked):
        return Feeding(shapes, None)
    return Feeding(shapes, step or None)


def _any_where_open(tensor: TensorInfo) -> tuple[int | None, ...]:
    return tuple(None if side == -1 else side for side in tensor.open_shape)


def _batched(model: ModelInfo, inputs: list[TensorInfo]) -> bool:
    """Whether open first sizes are that of a batch."""
    outputs = model.outputs.values()
    more = any(-1 in tensor.open_shape[1:] for tensor in inputs)
    return all(len(tensor.shape) > 1 for tensor in inputs) and all(
        tensor.open_shape[:1] == (-1,) and (more or -1 not in tensor.open_shape[1:])
        for tensor in outputs
    )

"""On which grids the inputs of a layer's calls are."""

from dataclasses import dataclass, field

import keras

from edgekit.quantization.fake_quantize import FakeQuantize
from edgekit.quantization.policy import Kind, kind_of


@dataclass
class InputGrids:
    """For each call of a layer, the rounding that its input comes from.

    A model knows what feeds a layer as it is put together, also when it is loaded: nothing of
    this is saved. It is no attribute that Keras sees, as the rounding belongs to the model.
    """

    roundings: dict[int, FakeQuantize] = field(default_factory=dict)

    def follow(self, inputs, site: int = 0) -> None:
        """Note what the symbolic input of a call comes from; of several, nothing is known.

        Args:
            inputs: What a layer is called with.
            site: Which call it is. Defaults to `0`.
        """
        rounding = None if isinstance(inputs, (list, tuple, dict)) else _rounding_of(inputs)
        self.roundings.pop(site, None)
        if rounding is not None:
            self.roundings[site] = rounding

    def step(self, site: int = 0):
        """The step of the input's integers, for the run that is running; None where unknown."""
        rounding = self.roundings.get(site)
        return None if rounding is None else rounding.step()


def _rounding_of(tensor) -> FakeQuantize | None:
    """The rounding before a symbolic tensor, through what only moves values."""
    while True:
        operation, index, _ = tensor._keras_history
        if isinstance(operation, FakeQuantize):
            return operation
        if kind_of(operation) != Kind.VIEW:
            return None
        sources = [
            t
            for t in operation._inbound_nodes[index].input_tensors
            if keras.backend.is_float_dtype(keras.backend.standardize_dtype(t.dtype))
        ]
        if len(sources) != 1:
            return None
        (tensor,) = sources

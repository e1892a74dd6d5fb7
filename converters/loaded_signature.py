"""One signature of a model that LiteRT's interpreter has loaded: its tensors, fed and read."""

from collections.abc import Mapping

import numpy as np

from converters.model_info import unique_names
from converters.reader import choose_signature

# What LiteRT says of a tensor without memory of its own.
_NO_PLACE = "Tensor data is null"


class LoadedSignature:
    """A signature's subgraph in an interpreter.

    The interpreter's own methods know the first subgraph only, whatever a signature names.

    Args:
        interpreter: An `ai_edge_litert.interpreter.Interpreter`.
        signature: Its key. Defaults to `None`, the default one.

    Raises:
        ValueError: The file has no such signature.

    Attributes:
        inputs: `{name: details}`, by name, as `get_input_details` gives them.
        outputs: As `inputs`.
        subgraph: What the signature runs.
    """

    def __init__(self, interpreter, signature: str | None = None):
        self._interpreter = interpreter
        self._graph = interpreter._interpreter  # its methods take the subgraph
        signatures = interpreter._get_full_signature_list()  # the public list lacks the indices
        key = choose_signature(list(signatures), signature)
        self.key = key
        self.subgraph = 0 if key is None else self._graph.GetSubgraphIndexFromSignature(key)
        sides = ("inputs", "outputs")
        if key is None:
            indices = [list(self._graph.InputIndices()), list(self._graph.OutputIndices())]
            named = [self._by_name(side) for side in indices]
        else:
            named = [dict(sorted(signatures[key][side].items())) for side in sides]
        self.inputs, self.outputs = (
            {name: self.details(index) for name, index in side.items()} for side in named
        )

    def details(self, tensor: int) -> dict:
        """Name, shape, dtype and quantization of a tensor."""
        return self._interpreter._get_tensor_details(int(tensor), self.subgraph)

    def tensor_details(self) -> list[dict]:
        """Details of all tensors that have some."""
        return self._interpreter.get_tensor_details(self.subgraph)

    def allocate(self, shapes: Mapping[str, tuple[int, ...]] | None = None) -> None:
        """Set tensors aside, for other shapes of inputs where some are given."""
        for name, shape in (shapes or {}).items():
            self._resize(name, shape)
        self._graph.AllocateTensors(self.subgraph)

    def feed(self, values: Mapping[str, np.ndarray]) -> None:
        """Put stored values into the inputs, whose open sizes follow them."""
        resized = [name for name, array in values.items() if self._is_other(name, array.shape)]
        for name in resized:
            self._resize(name, values[name].shape)
        if resized:
            self._graph.AllocateTensors(self.subgraph)
        for name, array in values.items():
            self._graph.SetTensor(self.inputs[name]["index"], array, self.subgraph)

    def invoke(self) -> None:
        """Run once."""
        self._graph.Invoke(self.subgraph)

    def read(self, detail: Mapping) -> np.ndarray | None:
        """Stored values of a tensor; None where the interpreter keeps them in no place."""
        try:
            return self._graph.GetTensor(detail["index"], self.subgraph)
        except ValueError as error:
            if _NO_PLACE not in str(error):
                raise
            return None

    def view(self, detail: Mapping) -> np.ndarray:
        """As `read` without a copy; it must be gone before the signature runs again."""
        return self._graph.tensor(self._graph, detail["index"], self.subgraph)

    def _is_other(self, name: str, shape: tuple[int, ...]) -> bool:
        return tuple(self.inputs[name]["shape"]) != shape

    def _resize(self, name: str, shape: tuple[int, ...]) -> None:
        detail = self.inputs[name]
        sides = np.array(shape, dtype=np.int32)
        self._graph.ResizeInputTensor(detail["index"], sides, False, self.subgraph)
        detail["shape"] = sides

    def _by_name(self, indices: list[int]) -> dict[str, int]:
        names = unique_names([self._graph.TensorName(i, 0) for i in indices], indices)
        return dict(zip(names, indices, strict=True))


def signature_details(
    interpreter, signature: str | None = None
) -> tuple[dict[str, dict], dict[str, dict]]:
    """`({input name: details}, {output name: details})` of a signature, by name.

    A model without a signature is read by its tensors' own names.

    Args:
        interpreter: An `ai_edge_litert.interpreter.Interpreter`.
        signature: Its key. Defaults to `None`, the default one.
    """
    loaded = LoadedSignature(interpreter, signature)
    return loaded.inputs, loaded.outputs

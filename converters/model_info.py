"""What a LiteRT file holds, as plain objects: tensors, operators, signatures, the model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from converters.sparse_tensor import decode

# Bits of the dtypes that NumPy lacks, several of which share a byte, and whether they are signed.
_PACKED = {"int4": (4, True), "int2": (2, True), "uint4": (4, False)}


@dataclass(frozen=True)
class TensorInfo:
    """A tensor: its shape, dtype, quantization and, for a constant, its bytes.

    Attributes:
        index: Its place in its subgraph.
        shape: As the file has it, with 1 where a size is open.
        open_shape: As `shape`, with -1 where a size is open.
        scales: One, or one for each slice of `quantized_dimension`; of blocks, in their order.
        block_size: Weights that share a scale in quantization by blocks; 0 elsewhere.
        block_scales: Index of the tensor that holds the scales of blocks; -1 elsewhere.
        variable: Whether it keeps its values from one run to the next.
        buffer: Where its bytes are; tensors with the same buffer share them. 0 for none.
    """

    index: int
    name: str
    shape: tuple[int, ...]
    dtype: str
    scales: tuple[float, ...] = ()
    zero_points: tuple[int, ...] = ()
    data: bytes | None = field(default=None, repr=False)
    sparsity: tuple | None = field(default=None, repr=False)
    open_shape: tuple[int, ...] = ()
    quantized_dimension: int = 0
    block_size: int = 0
    block_scales: int = -1
    variable: bool = False
    buffer: int = 0
    subgraph: int = 0

    @property
    def constant(self) -> bool:
        """Whether its values are in the file."""
        return self.data is not None

    @property
    def open(self) -> bool:
        """Whether a size of it is not fixed."""
        return -1 in self.open_shape

    @property
    def open_beyond_batch(self) -> bool:
        """Whether a size other than that of a batch is not fixed."""
        return -1 in (self.open_shape[1:] if len(self.open_shape) > 1 else self.open_shape)

    @property
    def stored_bytes(self) -> int:
        """Bytes a constant takes in the file."""
        levels = self.sparsity[2] if self.sparsity else ()
        parts = (part for level in levels if isinstance(level, tuple) for part in level)
        return len(self.data or b"") + sum(part.nbytes for part in parts)

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    @cached_property
    def values(self) -> np.ndarray | None:
        """A constant's stored values; None where the dtype has no plain array form."""
        if self.data is None:
            return None
        if self.sparsity is not None:
            try:
                return decode(np.frombuffer(self.data, self.dtype), self.shape, *self.sparsity)
            except (TypeError, ValueError):
                return None
        try:
            if self.dtype in _PACKED:
                return _unpack(self.data, *_PACKED[self.dtype])[: self.size].reshape(self.shape)
            return np.frombuffer(self.data, dtype=self.dtype).reshape(self.shape)
        except (TypeError, ValueError):
            return None


@dataclass(frozen=True)
class OpInfo:
    """One operator: its name and the tensors it reads and writes.

    Attributes:
        slots: Its inputs by position; None where an optional one is left out.
        options: Its settings by the schema's names, such as `{"adj_x": True}`.
        custom: Whether it is none of LiteRT's own.
        calls: Subgraphs that it runs.
    """

    index: int
    name: str
    slots: tuple[TensorInfo | None, ...]
    output_tensors: tuple[TensorInfo, ...]
    subgraph: int = 0
    calls: tuple[int, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    version: int = 1
    custom: bool = False

    @cached_property
    def input_tensors(self) -> tuple[TensorInfo, ...]:
        """Its inputs, without those left out."""
        return tuple(t for t in self.slots if t is not None)

    def slot(self, number: int) -> TensorInfo | None:
        """The input at a position; None where it is left out."""
        return self.slots[number] if 0 <= number < len(self.slots) else None


@dataclass(frozen=True)
class Signature:
    """A way to call a model: by which names, and on which subgraph.

    Attributes:
        key: Its name, as `predict(x, signature=key)` takes it.
        subgraph: What it runs.
        inputs: `{name: tensor}`, by name.
        outputs: `{name: tensor}`, by name.
    """

    key: str
    subgraph: int
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]


@dataclass(frozen=True)
class ModelInfo:
    """What one signature of a model runs: its subgraph, then those its ops call, as loops do.

    Attributes:
        ops: In order of execution, those of called subgraphs last.
        tensors: Those of the signature's subgraph, in its order, then those of called ones.
        inputs: `{name: tensor}` by the signature's names; without one, by the tensors' own.
        outputs: As `inputs`.
        subgraph: The signature's.
        graph_inputs: Inputs in the order of the subgraph, as interpreters count them.
        graph_outputs: As `graph_inputs`.
        called: Inputs and outputs of the subgraphs that ops call, by number.
        signature: What was chosen; None where the file has no signature.
        signatures: All that the file has, in its order.
        subgraphs: How many the file has.
        metadata: `{name: bytes}`, as stored.
        description: Of the file, in its maker's words.
    """

    ops: tuple[OpInfo, ...]
    tensors: tuple[TensorInfo, ...]
    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    subgraph: int = 0
    graph_inputs: tuple[TensorInfo, ...] = ()
    graph_outputs: tuple[TensorInfo, ...] = ()
    called: Mapping[int, tuple[tuple[TensorInfo, ...], tuple[TensorInfo, ...]]] = field(
        default_factory=dict, repr=False
    )
    signature: Signature | None = None
    signatures: tuple[Signature, ...] = ()
    subgraphs: int = 1
    metadata: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    description: str = ""


def unique_names(names: list[str], places: list[int]) -> list[str]:
    """The names with none empty and none twice, for tensors that no signature names.

    Args:
        names: As the file has them.
        places: Index of each tensor, which tells those of one name apart.
    """
    found: list[str] = []
    for name, place in zip(names, places, strict=True):
        plain = name or f"tensor_{place}"
        found.append(plain if plain not in found else f"{plain}:{place}")
    return found


def _unpack(data: bytes, bits: int, signed: bool) -> np.ndarray:
    """Numbers of a few bits, the lowest bits of a byte first."""
    stored = np.frombuffer(data, np.int8 if signed else np.uint8)
    parts = [np.left_shift(stored, 8 - bits - at) >> (8 - bits) for at in range(0, 8, bits)]
    return np.stack(parts, axis=-1).ravel()

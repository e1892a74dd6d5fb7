"""Kernels that are mostly zero, stored as their other values and where those are."""

from collections.abc import Collection

import numpy as np

from converters.integer.file import FlatFile

_STORABLE = ("float32", "int8")
_CONVOLUTIONS = ("CONV_2D", "DEPTHWISE_CONV_2D")
_DENSE = ("FULLY_CONNECTED",)
# Which ops take a kernel that is made whole at load depends on dtypes and LiteRT's version.
KINDS = ((*_CONVOLUTIONS, *_DENSE), _CONVOLUTIONS, _DENSE)
# The words around a sparse tensor cost too: it has to save so much.
_LEAST_SAVED = 0.1


def with_sparse_weights(content: bytes, kinds: Collection[str] = KINDS[0]) -> bytes:
    """The file with each kernel stored sparse that is smaller so; the same bytes if none is.

    A DENSIFY op in front of the op that reads it makes it whole once, when the model is loaded;
    XNNPACK multiplies by pointwise kernels as they are. Microcontrollers have no such op.

    Args:
        content: A `.tflite`.
        kinds: The ops whose kernels may be. Defaults to convolutions and dense layers.

    Source: LiteRT schema, SparsityParameters; traversal in the tensor's own order, the last
    dimension compressed by rows (CSR).
    """
    file = FlatFile(content)
    numbers = [0, *(signature.subgraphIndex for signature in file.model.signatureDefs or ())]
    views = file.of(sorted(set(numbers)))
    changed = [_store_kernels(view, kinds) for view in views]
    return file.tobytes() if any(changed) else content


def _store_kernels(file: FlatFile, kinds: Collection[str]) -> bool:
    """Store the kernels of a subgraph sparse where that is smaller; whether one is."""
    dense: dict[int, int] = {}
    emitted = []
    for op in file.graph.operators:
        op.inputs = np.array(op.inputs, "int32")
        for slot, tensor in enumerate(map(int, op.inputs)):
            if slot == 0 or tensor < 0 or file.op_name(op) not in kinds:
                continue
            if tensor not in dense and _store_sparse(file, tensor):
                dense[tensor] = _dense_tensor(file, tensor)
                emitted.append(file.new_op("DENSIFY", [tensor], [dense[tensor]]))
            if tensor in dense:
                op.inputs[slot] = dense[tensor]
        emitted.append(op)
    file.graph.operators = emitted
    return bool(dense)


def _store_sparse(file: FlatFile, tensor: int) -> bool:
    """Store the tensor sparse if that is smaller; whether it was done."""
    stored = file.graph.tensors[tensor]
    data = file.model.buffers[stored.buffer].data
    dtype = file.dtype(tensor)
    if data is None or dtype not in _STORABLE or stored.shape is None or len(stored.shape) < 2:
        return False
    if stored.sparsity is not None or _zero_point(stored):
        return False
    values = np.asarray(data, "uint8").view(dtype).reshape(-1, stored.shape[-1])
    rows, columns = np.nonzero(values)
    segments = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(values)))])
    segments, indices = _narrow(segments), _narrow(columns, values.shape[1] - 1)
    left = values[rows, columns]
    if left.nbytes + segments.nbytes + indices.nbytes > (1 - _LEAST_SAVED) * values.nbytes:
        return False
    stored.sparsity = _parameters(file.schema, list(map(int, stored.shape)), segments, indices)
    file.set_values(tensor, left)
    return True


def _zero_point(tensor) -> bool:
    """Whether its zero is another integer than 0."""
    quantization = tensor.quantization
    points = None if quantization is None else quantization.zeroPoint
    return points is not None and bool(np.any(points))


def _narrow(numbers: np.ndarray, largest: int | None = None) -> np.ndarray:
    """In the smallest dtype that the schema has for them."""
    largest = int(numbers.max(initial=0)) if largest is None else largest
    dtype = "uint8" if largest < 2**8 else "uint16" if largest < 2**16 else "int32"
    return numbers.astype(dtype)


def _parameters(schema, shape, segments, indices):
    found = schema.SparsityParametersT()
    found.traversalOrder = np.arange(len(shape), dtype="int32")
    found.dimMetadata = []
    for size in shape[:-1]:
        level = schema.DimensionMetadataT()
        level.format, level.denseSize = schema.DimensionType.DENSE, size
        found.dimMetadata.append(level)
    level = schema.DimensionMetadataT()
    level.format = schema.DimensionType.SPARSE_CSR
    level.arraySegmentsType, level.arraySegments = _vector(schema, segments)
    level.arrayIndicesType, level.arrayIndices = _vector(schema, indices)
    found.dimMetadata.append(level)
    return found


def _vector(schema, numbers: np.ndarray):
    name = {"uint8": "Uint8Vector", "uint16": "Uint16Vector", "int32": "Int32Vector"}[
        numbers.dtype.name
    ]
    vector = getattr(schema, f"{name}T")()
    vector.values = numbers
    return getattr(schema.SparseIndexVector, name), vector


def _dense_tensor(file: FlatFile, tensor: int) -> int:
    """A tensor for the same kernel made whole."""
    index = file.add_tensor(tensor, file.dtype(tensor))
    file.graph.tensors[index].quantization = file.graph.tensors[tensor].quantization
    return index
